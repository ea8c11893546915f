//! The event log on a real disk: what it promises against a model, damage, crashes, full disks and the files of old.

mod crash;
mod damage;
mod golden;
mod model;
mod scratch;
mod space;
