//! Jobs and the cluster as the HTTP API shows them.

use crate::stored::Stored;
use iosdk_gcs_core::{ClusterView, JobStatus, JobView, NodeView};
use iosdk_http::{ClusterInfo, JobInfo, JobStatus as Shown, JobType, NodeInfo};
use iosdk_types::{Exit, JobCause, JobReport};

pub(crate) fn job(view: JobView, stored: Stored, nodes: &[NodeView]) -> JobInfo {
    let node = view.node.and_then(|number| nodes.iter().find(|node| node.node == number));
    JobInfo {
        kind: JobType::Submission,
        job_id: view.driver.map(|job| job.hex()),
        submission_id: Some(view.submission_id),
        // Ray's has the pid of the driver, which nobody here knows.
        driver_info: None,
        status: shown(view.status),
        entrypoint: stored.spec.entrypoint,
        message: Some(view.message),
        error_type: view.report.as_ref().and_then(error_type).map(str::to_owned),
        // Until it begins: when it was submitted, as Ray has it.
        start_time: Some(view.started_ms.unwrap_or(view.submitted_ms)),
        end_time: view.ended_ms,
        metadata: stored.metadata,
        runtime_env: stored.runtime_env,
        driver_agent_http_address: None,
        driver_node_id: node.map(|node| node.record.node.hex()),
        driver_exit_code: view.report.as_ref().and_then(exit_code),
        user: Some(view.user),
        secret_env: stored.secrets,
    }
}

/// Negative for a signal, as Python has it.
fn exit_code(report: &JobReport) -> Option<i32> {
    match report.exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(signal) => Some(-signal),
        Exit::Unknown => None,
    }
}

/// In Ray's words.
fn error_type(report: &JobReport) -> Option<&'static str> {
    match &report.cause {
        JobCause::Own if report.exit == Exit::Code(0) => None,
        JobCause::Own => Some("JOB_ENTRYPOINT_COMMAND_ERROR"),
        JobCause::Stopped => None,
        JobCause::SupervisorDied | JobCause::NodeLost => Some("JOB_SUPERVISOR_ACTOR_DIED"),
        JobCause::CannotStart(_) => Some("JOB_ENTRYPOINT_COMMAND_START_ERROR"),
    }
}

fn shown(status: JobStatus) -> Shown {
    match status {
        JobStatus::Pending => Shown::Pending,
        JobStatus::Running => Shown::Running,
        JobStatus::Succeeded => Shown::Succeeded,
        JobStatus::Failed => Shown::Failed,
        JobStatus::Stopped => Shown::Stopped,
    }
}

pub(crate) fn asked(status: Shown) -> JobStatus {
    match status {
        Shown::Pending => JobStatus::Pending,
        Shown::Running => JobStatus::Running,
        Shown::Succeeded => JobStatus::Succeeded,
        Shown::Failed => JobStatus::Failed,
        Shown::Stopped => JobStatus::Stopped,
    }
}

pub(crate) fn cluster(view: ClusterView) -> ClusterInfo {
    let nodes = view.nodes.into_iter().map(|node| NodeInfo {
        node_id: node.record.node.hex(),
        address: node.record.ip,
        // Raylets join over this machine's Unix socket, so each is on the head's machine.
        is_head: true,
        alive: node.record.alive,
        resources_total: node.record.resources,
        resources_available: node.available,
    });
    ClusterInfo { nodes: nodes.collect(), jobs_queued: view.queued as u64, jobs_running: view.running as u64 }
}
