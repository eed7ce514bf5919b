// The settings, from the environment variable KULLBACK_EMULATOR.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

#include "emulator.h"

namespace kullback::emulator {

namespace {

[[noreturn]] void refuse(const std::string& key, const std::string& value) {
  fprintf(stderr, "KULLBACK_EMULATOR: %s=%s is no setting\n", key.c_str(), value.c_str());
  exit(2);
}

void set(Settings& settings, const std::string& key, const std::string& value) {
  const auto is_first_of = [&](const char* first, const char* second) {
    if (value != first && value != second) refuse(key, value);
    return value == first;
  };
  if (key == "order" && value == "random") {
    settings.order = Order::random;
  } else if (key == "order") {
    settings.order = is_first_of("forward", "reverse") ? Order::forward : Order::reverse;
  } else if (key == "seed") {
    settings.seed = strtoull(value.c_str(), nullptr, 10);
  } else if (key == "copies") {
    settings.late_copies = is_first_of("late", "early");
  } else if (key == "streams") {
    settings.deferred_streams = is_first_of("deferred", "eager");
  } else if (key == "sm") {
    settings.capability = atoi(value.c_str());
  } else if (key == "memory") {
    const size_t mebibytes = strtoull(value.c_str(), nullptr, 10);
    settings.memory = mebibytes << 20;
  } else if (key == "devices") {
    settings.devices = atoi(value.c_str());
  } else if (key == "cluster") {
    settings.largest_cluster = unsigned(atoi(value.c_str()));
  } else if (key == "lose") {
    settings.lose = atoi(value.c_str());
  } else if (key == "deny") {
    settings.deny = atoi(value.c_str());
  } else if (!key.empty()) {
    refuse(key, value);
  }
}

Settings read_settings() {
  Settings settings;
  const char* const text = getenv("KULLBACK_EMULATOR");
  std::stringstream all(text == nullptr ? "" : text);
  for (std::string setting; std::getline(all, setting, ',');) {
    const size_t equals = std::min(setting.find('='), setting.size());
    set(settings, setting.substr(0, equals), setting.substr(std::min(equals + 1, setting.size())));
  }
  return settings;
}

}  // namespace

Settings& settings() {
  static Settings settings = read_settings();
  return settings;
}

}  // namespace kullback::emulator
