//! The command line. One function behind both the `iosdk` binary and the Python extension, which runs the daemon with it.

mod config;
mod daemon;
mod gcs;
mod head;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "iosdk", version, about = "Distributed execution for Python, with a Rust core")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The cluster of one driver, started by `iosdk.init()`.
    #[command(hide = true)]
    Daemon {
        /// Number of the inherited descriptor of the driver's connection.
        #[arg(long)]
        control_fd: i32,
        /// A JSON object.
        #[arg(long)]
        config: String,
    },
    /// The node of a head, started by `iosdk start --head`.
    #[command(hide = true)]
    Head {
        /// Number of the inherited descriptor that gets one line: `ready URL` or `error WHY`.
        #[arg(long)]
        ready_fd: i32,
        /// A JSON object.
        #[arg(long)]
        config: String,
    },
    /// The GCS of a head, started by its node.
    #[command(hide = true)]
    Gcs(gcs::GcsArgs),
}

/// Runs a command; `args` does not begin with a program name. Returns the exit code.
pub fn run<I, S>(args: I) -> i32
where
    I: IntoIterator<Item = S>,
    S: Into<std::ffi::OsString>,
{
    let named = std::iter::once("iosdk".into()).chain(args.into_iter().map(Into::into));
    match Cli::try_parse_from::<_, std::ffi::OsString>(named) {
        Ok(Cli { command: Command::Daemon { control_fd, config } }) => daemon::run(control_fd, &config),
        Ok(Cli { command: Command::Head { ready_fd, config } }) => head::run(ready_fd, &config),
        Ok(Cli { command: Command::Gcs(args) }) => gcs::run(args),
        Err(error) => {
            let code = if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) { 0 } else { 2 };
            // There is nowhere left to say that the terminal is gone.
            let _printed = error.print();
            code
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn bad_arguments_are_told_apart_from_failures() {
        assert_eq!(super::run(["--version"]), 0);
        assert_eq!(super::run(["no-such-command"]), 2);
        assert_eq!(super::run(["daemon", "--control-fd", "3"]), 2);
        assert_eq!(super::run(["daemon", "--control-fd", "3", "--config", "{}"]), 2);
    }
}
