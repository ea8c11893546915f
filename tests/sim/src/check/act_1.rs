//! ACT-1: calls of one caller to one actor run in the order they were made.

use crate::check::{Verdict, broken};
use iosdk_types::{ActorId, Address, Map};

const NAME: &str = "ACT-1";

#[derive(Default)]
pub struct Act1 {
    made: Map<(Address, ActorId), u64>,
    ran: Map<(Address, ActorId), u64>,
}

impl Act1 {
    /// The caller's number for its next call of this actor.
    pub fn number(&mut self, caller: Address, actor: ActorId) -> u64 {
        let made = self.made.entry((caller, actor)).or_default();
        *made += 1;
        *made
    }

    pub fn runs(&mut self, caller: Address, actor: ActorId, number: u64) -> Verdict {
        let ran = self.ran.entry((caller, actor)).or_default();
        if number <= *ran {
            return broken(NAME, format!("call {number} of {caller} to {actor} runs after call {ran}"));
        }
        *ran = number;
        Ok(())
    }
}
