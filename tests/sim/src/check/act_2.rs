//! ACT-2: an actor has at most one live process.

use crate::check::{Verdict, broken};
use iosdk_types::{ActorId, Address, Map};

const NAME: &str = "ACT-2";

#[derive(Default)]
pub struct Act2 {
    lives_in: Map<ActorId, Address>,
}

impl Act2 {
    /// A process was given to the actor, or runs its constructor.
    pub fn born(&mut self, actor: ActorId, process: Address) -> Verdict {
        match self.lives_in.insert(actor, process) {
            Some(other) if other != process => broken(NAME, format!("{actor} lives in {process} and in {other}")),
            _ => Ok(()),
        }
    }

    pub fn died(&mut self, process: Address) {
        self.lives_in.retain(|_, lives_in| *lives_in != process);
    }
}
