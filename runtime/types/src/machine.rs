//! The one face of every pure machine: the same loop drives it in production and in simulation.

use crate::Time;

pub trait Machine {
    /// Closed enum: messages, completions, losses, calls of the local API.
    type Input;
    /// Closed enum: everything the machine can ask of the world. Matched without wildcards by shell and simulator.
    type Effect;

    fn step(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Effect>);

    /// The earliest moment `tick` wants to run, if any. One deadline instead of timers that are set and cancelled.
    fn deadline(&self) -> Option<Time>;

    fn tick(&mut self, now: Time, out: &mut Vec<Self::Effect>);
}
