//! `iosdk explain`: why something is not running, who holds what it waits for, where it lies.

use super::ask;
use crate::address::Address;
use crate::client::{block_on, segment};
use crate::failure::Done;
use crate::printing::{Screen, print, print_json, state_colour, visible};
use clap::Args;
use serde::{Deserialize, Serialize};

/// Say why a task, actor, object, job or worker is in its state
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk explain train-1                          a job
  iosdk explain 16310a0f0a45af5cffffffffffffffffffffffff01000000
  iosdk list tasks --filter state=PENDING_NODE_ASSIGNMENT | cut -f1 | xargs -n 1 iosdk explain")]
pub(crate) struct Explain {
    /// As `iosdk list` shows it
    id: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

#[derive(Deserialize, Serialize)]
struct Explanation {
    id: String,
    kind: String,
    state: String,
    lines: Vec<String>,
}

impl Explain {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let path = format!("explain/{}", segment(&self.id));
        let explanation: Explanation = block_on(ask(&client, &path))?;
        if self.json {
            print_json(&explanation)?;
        } else {
            print(&explanation.text(Screen::stdout()))?;
        }
        Ok(0)
    }
}

impl Explanation {
    fn text(&self, screen: Screen) -> String {
        let state = visible(&self.state);
        let state = state_colour(&self.state).map_or(state.clone(), |colour| screen.paint(colour, &state));
        let head = format!("{} {}: {state}\n", visible(&self.kind), visible(&self.id));
        self.lines.iter().fold(head, |all, line| all + &format!("  {}\n", visible(line)))
    }
}
