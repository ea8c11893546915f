//! `iosdk completion`: what a shell needs to complete our commands.

use crate::Cli;
use crate::failure::Done;
use crate::printing::print_bytes;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;

/// Print the completions for a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  source <(iosdk completion bash)
  iosdk completion zsh > ~/.zfunc/_iosdk
  iosdk completion fish > ~/.config/fish/completions/iosdk.fish")]
pub(crate) struct Completion {
    shell: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(crate) fn run(self) -> Done {
        let shell = match self.shell {
            Kind::Bash => Shell::Bash,
            Kind::Zsh => Shell::Zsh,
            Kind::Fish => Shell::Fish,
        };
        // Without what only our own processes run.
        let all = Cli::command();
        let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let mut root = Command::new("iosdk").version(env!("CARGO_PKG_VERSION")).subcommands(shown);
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut root, "iosdk", &mut script);
        print_bytes(&script)?;
        Ok(0)
    }
}
