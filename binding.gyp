# Builds kullback.node: the Node-API layer and the CPU backend. One target and no per-file flags: instruction sets are
# chosen by target regions inside native/cpu/isa_*.cc.
{
  "targets": [
    {
      "target_name": "kullback",
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except_all"],
      # The longest to compile come first, so that no processor waits for the last one.
      "sources": [
        "native/cpu/isa_baseline.cc",
        "native/cpu/isa_avx2.cc",
        "native/cpu/isa_avx512.cc",
        "native/cpu/isa_neon.cc",
        "native/addon/addon.cc",
        "native/addon/arguments.cc",
        "native/addon/backends.cc",
        "native/addon/cpu.cc",
        "native/addon/cuda.cc",
        "native/addon/cuda_library.cc",
        "native/addon/device_memory.cc",
        "native/addon/f_divergence.cc",
        "native/addon/job.cc",
        "native/addon/linear_softmax_divergence.cc",
        "native/addon/softmax_divergence.cc",
        "native/addon/token_log_probs.cc",
        "native/cpu/backend.cc",
        "native/cpu/dispatch.cc",
        "native/cpu/f_divergence.cc",
        "native/cpu/linear_softmax_divergence.cc",
        "native/cpu/matrix_product.cc",
        "native/cpu/softmax_divergence.cc",
        "native/cpu/thread_pool.cc",
        "native/cpu/token_log_probs.cc"
      ],
      "defines": [
        "NAPI_VERSION=9",
        "KULLBACK_VERSION=\"<!(node -p \"require('./package.json').version\")\""
      ],
      "cflags!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      # Contraction would fuse multiplications and additions as each compiler likes; results name their fused ones.
      # GCC 12 warns about AVX-512 intrinsics of its own header (its bug 105593).
      "cflags_cc": [
        "-std=c++20", "-O3", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-maybe-uninitialized"
      ],
      "conditions": [
        ["OS=='linux'", {
          # nodelete: a Worker that ends must not unmap code that Kullback's threads run.
          "ldflags": [
            "-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL", "-Wl,-Bsymbolic", "-Wl,-z,nodelete",
            "-Wl,-z,relro", "-Wl,-z,now"
          ]
        }],
        ["OS=='mac'", {
          "xcode_settings": {
            "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
            "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
            "MACOSX_DEPLOYMENT_TARGET": "11.0",
            "OTHER_CPLUSPLUSFLAGS": ["-O3", "-ffp-contract=off", "-Wall", "-Wextra"]
          }
        }],
        ["OS=='win'", {
          # The vector types and the target regions want clang.
          "msbuild_toolset": "ClangCL",
          "msvs_settings": {
            "VCCLCompilerTool": { "AdditionalOptions": ["/std:c++20", "/O2", "/clang:-ffp-contract=off"] }
          }
        }]
      ]
    }
  ]
}
