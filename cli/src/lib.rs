//! iosdk-cli.
