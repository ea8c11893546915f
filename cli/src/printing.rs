//! What goes to stdout: tables and colours on a terminal, tabs and plain text everywhere else.

use crate::failure::{Failure, failed};
use iosdk_http::JobStatus;
use rustix::termios::{isatty, tcgetwinsize};
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Bold,
    Red,
    Green,
    Yellow,
    Blue,
}

/// Where the output goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    terminal: bool,
    colours: bool,
    /// In characters.
    width: usize,
}

pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: visible(&text.into()), colour: None }
    }
}

#[cfg(test)]
impl Cell {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Screen {
    pub(crate) fn stdout() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let terminal = isatty(io::stdout());
        let colours = terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb");
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0);
        Self { terminal, colours, width: size.map_or(usize::MAX, |size| size.ws_col.into()) }
    }

    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Bold => 1,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Blue => 34,
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// On a terminal with a header and aligned, the last column cut where the line ends. Elsewhere rows with tabs.
    pub(crate) fn table<const N: usize>(self, header: [&str; N], rows: Vec<[Cell; N]>) -> String {
        if !self.terminal {
            let line = |row: [Cell; N]| row.map(|cell| cell.text).join("\t") + "\n";
            return rows.into_iter().map(line).collect();
        }
        let length = |text: &str| text.chars().count();
        let widths: [usize; N] = std::array::from_fn(|at| {
            let cells = rows.iter().map(|row| length(&row[at].text));
            cells.chain([length(header[at])]).max().unwrap_or(0)
        });
        let line = |cells: [(String, Option<Colour>); N]| {
            let mut left = self.width;
            let mut line = String::new();
            for (at, (text, colour)) in cells.into_iter().enumerate() {
                let last = at + 1 == N;
                let text = if last { shortened(&text, left) } else { text };
                let padding = if last { 0 } else { widths[at] - length(&text) + 2 };
                left = left.saturating_sub(length(&text) + padding);
                line += &colour.map_or(text.clone(), |colour| self.paint(colour, &text));
                line += &" ".repeat(padding);
            }
            line + "\n"
        };
        let head = line(header.map(|text| (text.to_owned(), Some(Colour::Bold))));
        rows.into_iter().fold(head, |all, row| all + &line(row.map(|cell| (cell.text, cell.colour))))
    }

    /// Names and values, one a line.
    pub(crate) fn facts(self, facts: &[(&str, String)]) -> String {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line = |(name, value): &(&str, String)| {
            let name = format!("{name:<width$}");
            format!("{}  {}\n", self.paint(Colour::Bold, &name), visible(value))
        };
        facts.iter().map(line).collect()
    }
}

pub(crate) fn status_cell(status: JobStatus) -> Cell {
    let colour = match status {
        JobStatus::Pending => Colour::Yellow,
        JobStatus::Running => Colour::Blue,
        JobStatus::Succeeded => Colour::Green,
        JobStatus::Stopped => Colour::Yellow,
        JobStatus::Failed => Colour::Red,
    };
    Cell { text: status_name(status).to_owned(), colour: Some(colour) }
}

pub(crate) fn status_name(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Pending => "PENDING",
        JobStatus::Running => "RUNNING",
        JobStatus::Stopped => "STOPPED",
        JobStatus::Succeeded => "SUCCEEDED",
        JobStatus::Failed => "FAILED",
    }
}

/// Of anything that the state API tells.
pub(crate) fn state_cell(state: &str) -> Cell {
    Cell { text: visible(state), colour: state_colour(state) }
}

/// None for a state of a later release.
pub(crate) fn state_colour(state: &str) -> Option<Colour> {
    match state {
        "RUNNING" | "LEASED" | "ACTOR" | "DRIVER" => Some(Colour::Blue),
        "FINISHED" | "SUCCEEDED" | "READY" | "ALIVE" | "IDLE" => Some(Colour::Green),
        "FAILED" | "DEAD" | "ERROR" => Some(Colour::Red),
        "PENDING" | "PENDING_CREATION" | "PENDING_ARGS_AVAIL" | "PENDING_NODE_ASSIGNMENT" => Some(Colour::Yellow),
        "SUBMITTED_TO_WORKER" | "STARTING" | "BLOCKED" | "STOPPED" => Some(Colour::Yellow),
        _ => None,
    }
}

/// A user's text must not steer the terminal, break lines or make columns of its own.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

/// As people say it: the two largest units.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1 << 10 {
        return format!("{count} bytes");
    }
    let power = (count.ilog2() / 10).min(5) as usize;
    format!("{:.1} {}", count as f64 / (1u64 << (10 * power)) as f64, UNITS[power - 1])
}

/// In groups of three digits.
pub(crate) fn counted(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

/// Milliseconds since 1970, in UTC to the second.
pub(crate) fn moment(ms: u64) -> String {
    let (mut days, second) = (ms / 86_400_000, ms / 1_000 % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{:02}Z", days + 1, second % 60)
}

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

pub(crate) fn print_bytes(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Unread),
        Err(error) => Err(failed("writing to stdout", error)),
    }
}

pub(crate) fn print_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| failed("writing JSON", error))?;
    print(&(text + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<[Cell; 3]> {
        vec![
            ["a".into(), status_cell(JobStatus::Failed), "python train.py".into()],
            ["long-name".into(), "x".into(), "echo\tä\x1b[31m".into()],
        ]
    }

    #[test]
    fn a_pipe_gets_tabs_and_a_terminal_columns() {
        let pipe = Screen { terminal: false, colours: false, width: usize::MAX };
        let expected = "a\tFAILED\tpython train.py\nlong-name\tx\techo\\tä\\u{1b}[31m\n";
        assert_eq!(pipe.table(["job", "status", "command"], rows()), expected);
        let narrow = Screen { terminal: true, width: 27, ..pipe };
        let expected = "\
job        status  command
a          FAILED  python …
long-name  x       echo\\tä…
";
        assert_eq!(narrow.table(["job", "status", "command"], rows()), expected);
        let colours = Screen { colours: true, ..narrow };
        let table = colours.table(["job", "status", "command"], rows());
        assert!(table.contains("a          \x1b[31mFAILED\x1b[0m  python …\n"), "{table}");
    }

    #[test]
    fn figures_are_readable() {
        let durations = [5, 59_900, 61_000, 3_600_000, 90_000_000].map(duration);
        assert_eq!(durations, ["5 ms", "59.9 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
        assert_eq!(
            [0, 1_023, 1_536, 3 << 30, u64::MAX].map(bytes),
            ["0 bytes", "1023 bytes", "1.5 KiB", "3.0 GiB", "16384.0 PiB"]
        );
        assert_eq!([0, 999, 1_000, 1_234_567].map(counted), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(moment(0), "1970-01-01 00:00:00Z");
        assert_eq!(moment(951_782_399_000), "2000-02-28 23:59:59Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(moment(1_709_251_199_999), "2024-02-29 23:59:59Z");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01 00:00:00Z");
    }
}
