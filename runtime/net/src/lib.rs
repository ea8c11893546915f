//! iosdk-net.
