//! `iosdk` without Python.

fn main() {
    std::process::exit(iosdk_cli::run(std::env::args_os().skip(1)));
}
