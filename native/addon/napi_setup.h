// The one place that includes node-addon-api, after the definitions that shape it.
#ifndef KULLBACK_ADDON_NAPI_SETUP_H
#define KULLBACK_ADDON_NAPI_SETUP_H

// Electron forbids buffers outside of its own memory cage: results are copied into arrays that V8 allocated.
#define NODE_API_NO_EXTERNAL_BUFFERS_ALLOWED
#define NODE_ADDON_API_DISABLE_DEPRECATED
// Throwing into an environment that is shutting down is no reason to end the process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#endif  // KULLBACK_ADDON_NAPI_SETUP_H
