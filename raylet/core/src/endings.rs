//! Why something is held no more, in the words of the node's account.

use iosdk_types::message::ActorDeath;
use iosdk_types::{Death, JobCause, JobReport};

pub(crate) fn end_of_process(death: &Death) -> String {
    let by = if death.intended { "ended by the node: " } else { "" };
    format!("{by}{}", death.exit)
}

pub(crate) fn end_of_actor(cause: &ActorDeath) -> String {
    match cause {
        ActorDeath::InitFailed { .. } => "its constructor failed".to_owned(),
        ActorDeath::Killed => "killed by its user".to_owned(),
        ActorDeath::OutOfScope => "no handle was left".to_owned(),
        ActorDeath::Exited => "it left by itself".to_owned(),
        ActorDeath::OwnerDied(_) => "its owner ended".to_owned(),
        ActorDeath::NodeDied => "its node was given up".to_owned(),
        ActorDeath::Process(death) => end_of_process(death),
        ActorDeath::Infeasible { why } => why.clone(),
    }
}

pub(crate) fn end_of_job(report: &JobReport) -> String {
    match &report.cause {
        JobCause::Own => report.exit.to_string(),
        JobCause::Stopped => "stopped".to_owned(),
        JobCause::SupervisorDied => "its supervisor was killed".to_owned(),
        JobCause::CannotStart(why) => format!("it could not start: {why}"),
        JobCause::NodeLost => "its node was lost".to_owned(),
    }
}
