//! iosdk-runtime.
