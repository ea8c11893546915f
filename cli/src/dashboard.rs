//! `iosdk dashboard`: the address at which a browser sees the head.

use crate::address::Address;
use crate::client::{Client, block_on};
use crate::failure::{Done, Failure, failed};
use crate::payload::Payload;
use crate::printing::{print, print_json};
use clap::Args;
use iosdk_http::DashboardPass;
use serde_json::json;
use std::process::{Command, Stdio};

/// Print an address that shows the head in a browser
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk dashboard
  iosdk dashboard --open           in this desktop's browser
  iosdk dashboard --json | jq -r .url

The address opens one session, which only reads. It is good once, for five minutes.")]
pub(crate) struct Dashboard {
    /// Open it in the browser
    #[arg(long)]
    open: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

impl Dashboard {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let ticket: DashboardPass = block_on(client.post("/api/dashboard/ticket", Payload::empty()))?;
        let head = origin(&client)?;
        // What follows the # is sent to nobody, and the page takes it out of the address at once.
        let url = format!("{head}/#login={}", ticket.pass);
        if self.open {
            open(&url)?;
        }
        if self.json {
            print_json(&json!({"url": url, "head": head, "seconds": ticket.seconds}))?;
        } else {
            print(&format!("{url}\n"))?;
            let minutes = ticket.seconds / 60;
            eprintln!(
                "iosdk: good for one browser, within {minutes} minutes; from another machine make a tunnel first:"
            );
            eprintln!(
                "iosdk: ssh -N -L {port}:localhost:{port} HEAD",
                port = head.rsplit(':').next().unwrap_or_default()
            );
        }
        Ok(0)
    }
}

/// Scheme, host and port.
fn origin(client: &Client) -> Result<String, Failure> {
    match client {
        Client::Remote { host, port, .. } if host.contains(':') => Ok(format!("http://[{host}]:{port}")),
        Client::Remote { host, port, .. } => Ok(format!("http://{host}:{port}")),
        Client::Local(dir) => match dir.head()? {
            Some(head) => Ok(head.url),
            None => Err(Failure::Degraded(format!(
                "the head in {} answers, and has not written down its address: it starts or ends",
                dir.path().display()
            ))),
        },
    }
}

fn open(url: &str) -> Result<(), Failure> {
    let mut opener = Command::new("xdg-open");
    let opened = opener.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let what = "opening a browser with xdg-open (without --open the address is printed)";
    match opened {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(what, status)),
        Err(error) => Err(failed(what, error)),
    }
}
