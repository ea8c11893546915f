//! Options of `ray start` that people's scripts have: those for which there is nothing to do are understood and said so, those
//! whose meaning would be lost are refused.

use crate::failure::Failure;
use clap::Args;
use std::net::IpAddr;

#[derive(Args, Debug, Default)]
pub(crate) struct RayFlags {
    #[arg(long, hide = true, alias = "node-ip-address", alias = "dashboard-host", value_name = "HOST")]
    host: Vec<String>,
    #[arg(long, hide = true)]
    dashboard_port: Option<u16>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    include_dashboard: Option<bool>,
    #[arg(long, hide = true)]
    disable_usage_stats: bool,
    #[arg(long, hide = true)]
    temp_dir: Option<String>,
    #[arg(long, hide = true)]
    node_name: Option<String>,
    #[arg(long, hide = true)]
    plasma_directory: Option<String>,
    #[arg(
        long,
        hide = true,
        alias = "object-manager-port",
        alias = "node-manager-port",
        alias = "min-worker-port",
        alias = "max-worker-port",
        alias = "worker-port-list",
        alias = "metrics-export-port",
        alias = "dashboard-agent-listen-port",
        alias = "dashboard-agent-grpc-port",
        alias = "runtime-env-agent-port"
    )]
    ports_of_ray: Vec<String>,
    #[arg(long, hide = true)]
    ray_client_server_port: Option<String>,
    #[arg(long, hide = true, alias = "gcs-address")]
    address: Option<String>,
}

impl RayFlags {
    /// The port of the HTTP API, and a line for each option that does nothing here.
    pub(crate) fn judge(&self, port: Option<u16>) -> Result<(Option<u16>, Vec<String>), Failure> {
        let refused = |text: &str| Err(Failure::Usage(text.to_owned()));
        if let Some(host) = self.host.iter().find(|host| !is_loopback(host)) {
            return Err(Failure::Usage(format!(
                "a head listens on this machine alone, and {host} is beyond it: without TLS the token would cross the network \
                 unencrypted. From elsewhere use a tunnel: ssh -N -L 8265:localhost:8265 THIS-MACHINE"
            )));
        }
        if self.address.is_some() {
            return refused("nodes that join a head elsewhere are not there yet: a head has this machine alone");
        }
        if self.ray_client_server_port.is_some() {
            return refused("--ray-client-server-port: ray:// connections are not served; submit jobs instead");
        }
        let mut notes = Vec::new();
        let mut note = |given: bool, text: &str| notes.extend(given.then(|| text.to_owned()));
        let both = self.dashboard_port.is_some() && port.is_some();
        note(both, "--port is not needed beside --dashboard-port: everything is served on the latter");
        note(self.include_dashboard == Some(false), "--include-dashboard=false: the HTTP API is always there");
        note(self.temp_dir.is_some(), "--temp-dir: files lie in the data directory; --data-dir moves it");
        note(self.node_name.is_some(), "--node-name: nodes go by their ids");
        note(self.plasma_directory.is_some(), "--plasma-directory: objects lie in memory without a file");
        note(!self.ports_of_ray.is_empty(), "ports of Ray's other services: there is one port, that of the HTTP API");
        Ok((self.dashboard_port.or(port), notes))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_listened_to() {
        for host in ["localhost", "127.0.0.1", "::1", "[::1]", "127.1.2.3"] {
            assert!(RayFlags { host: vec![host.into()], ..RayFlags::default() }.judge(None).is_ok(), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.7", "head.example"] {
            let flags = RayFlags { host: vec!["localhost".into(), host.into()], ..RayFlags::default() };
            let error = flags.judge(None).unwrap_err().to_string();
            assert!(error.contains(host) && error.contains("TLS") && error.contains("ssh"), "{error}");
        }
    }

    #[test]
    fn what_does_nothing_is_said() {
        let flags = RayFlags { dashboard_port: Some(1), temp_dir: Some("x".into()), ..RayFlags::default() };
        let (port, notes) = flags.judge(Some(6379)).unwrap();
        assert_eq!(port, Some(1));
        assert_eq!(notes.len(), 2);
        assert_eq!(RayFlags::default().judge(Some(2)), Ok((Some(2), vec![])));
        assert!(RayFlags { address: Some("x".into()), ..RayFlags::default() }.judge(None).is_err());
    }
}
