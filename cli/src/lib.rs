//! The command line. One function behind both the `iosdk` binary and the Python extension, which runs the daemon with it.

mod address;
mod client;
mod completion;
mod config;
mod daemon;
mod dashboard;
mod data_dir;
mod failure;
mod gcs;
mod head;
mod job;
mod payload;
mod printing;
mod quoting;
mod ray_flags;
mod spawn;
mod start;
mod state;
mod status;
mod stop;
mod usage;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use failure::Done;
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  iosdk start --head                              start a head on this machine
  iosdk job submit --working-dir . -- python train.py
  iosdk job list                                  what runs, what waits, what is over
  iosdk status                                    nodes, resources, addresses
  iosdk list tasks --filter state=RUNNING         what tasks, actors, objects and workers do now
  iosdk explain ID                                why one of them waits, and for whom
  iosdk usage                                     who used how much
  iosdk dashboard                                 the same in a browser
  iosdk stop

With the Python package, `iosdk demo` runs an example: some 40 models cross-validated on all CPUs.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no head, 4 the head or a node is not well. `job submit` and
`job logs -f` exit as the job does: its exit code, 128 + n after signal n, 130 when it was stopped.";

#[derive(Parser)]
#[command(name = "iosdk", version, about = "Distributed execution for Python, with a Rust core", after_help = EXAMPLES)]
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
    Start(Box<start::Start>),
    Stop(stop::Stop),
    Status(status::Status),
    #[command(subcommand)]
    Job(job::Job),
    Logs(job::logs::Logs),
    Usage(usage::Usage),
    Dashboard(dashboard::Dashboard),
    List(state::list::List),
    Get(state::get::Get),
    Summary(state::summary::Summary),
    Explain(state::explain::Explain),
    Completion(completion::Completion),
}

/// Runs a command; `args` does not begin with a program name. Returns the exit code.
pub fn run<I, S>(args: I) -> i32
where
    I: IntoIterator<Item = S>,
    S: Into<OsString>,
{
    match std::env::current_exe() {
        Ok(program) => run_as(args, vec![program.into()]),
        Err(error) => {
            eprintln!("iosdk: finding this program's own file: {error}");
            failure::FAILED
        }
    }
}

/// The same where more than one word is needed to run the command line again, as `start` does: `program` are the words that
/// stand before the arguments.
pub fn run_as<I, S>(args: I, program: Vec<OsString>) -> i32
where
    I: IntoIterator<Item = S>,
    S: Into<OsString>,
{
    let named = std::iter::once("iosdk".into()).chain(args.into_iter().map(Into::into));
    let done = match Cli::try_parse_from::<_, OsString>(named) {
        Ok(Cli { command }) => dispatch(command, &program),
        Err(error) => {
            let code = if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) { 0 } else { 2 };
            // There is nowhere left to say that the terminal is gone.
            let _printed = error.print();
            return code;
        }
    };
    done.unwrap_or_else(|failure| {
        // Who reads no output reads no complaint about it either.
        if failure != failure::Failure::Unread {
            eprintln!("iosdk: {failure}");
        }
        failure.code()
    })
}

fn dispatch(command: Command, program: &[OsString]) -> Done {
    match command {
        Command::Daemon { control_fd, config } => Ok(daemon::run(control_fd, &config)),
        Command::Head { ready_fd, config } => Ok(head::run(ready_fd, &config)),
        Command::Gcs(args) => Ok(gcs::run(args)),
        Command::Start(start) => start.run(program),
        Command::Stop(stop) => stop.run(),
        Command::Status(status) => status.run(),
        Command::Job(job) => job.run(),
        Command::Logs(logs) => logs.run(),
        Command::Usage(usage) => usage.run(),
        Command::Dashboard(dashboard) => dashboard.run(),
        Command::List(list) => list.run(),
        Command::Get(get) => get.run(),
        Command::Summary(summary) => summary.run(),
        Command::Explain(explain) => explain.run(),
        Command::Completion(completion) => completion.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn bad_arguments_are_told_apart_from_failures() {
        assert_eq!(super::run(["--version"]), 0);
        assert_eq!(super::run(["no-such-command"]), 2);
        assert_eq!(super::run(["daemon", "--control-fd", "3"]), 2);
        assert_eq!(super::run(["daemon", "--control-fd", "3", "--config", "{}"]), 2);
    }

    #[test]
    fn every_command_has_json_and_examples() {
        let mut root = super::Cli::command();
        root.build();
        root.clone().debug_assert();
        let jobs = root.find_subcommand("job").unwrap();
        let all = root.get_subcommands().chain(jobs.get_subcommands());
        let shown = all.filter(|command| !command.is_hide_set() && !["help", "job"].contains(&command.get_name()));
        for command in shown {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{name}");
            let has_json = command.get_arguments().any(|argument| argument.get_id() == "json");
            assert!(has_json || name == "completion", "{name}");
        }
    }
}
