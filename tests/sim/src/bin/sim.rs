//! `cargo sim`: runs seeds, says what occurred in them, and how to replay one that broke a promise.

use iosdk_sim::count::Counts;
use iosdk_sim::planted::Planted;
use iosdk_sim::trace::Trace;
use iosdk_sim::world::Outcome;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: cargo sim [--seed N | --seeds A..B | --past] [--commit-seeds N] [--steps M] [--nodes K]
                 [--planted NAME | --planted-all] [--verbose]";

/// Events of one seed at most: a longer run shows little that is new.
const STEPS: u64 = 300_000;
/// A planted bug must be seen within this many seeds.
const PLANTED_SEEDS: u64 = 50;
/// Seeds of past failures, one a line, each with what it was.
const PAST: &str = include_str!("../../seeds.txt");

#[derive(Default)]
struct Options {
    seeds: Vec<u64>,
    steps: Option<u64>,
    nodes: Option<u32>,
    planted: Option<String>,
    planted_all: bool,
    verbose: bool,
    /// All kinds must occur: only asked of a run with many seeds.
    whole: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        match word.as_str() {
            "--seed" => options.seeds.push(number(value()?)?),
            "--seeds" => {
                let text = value()?;
                let (low, high) = text.split_once("..").ok_or_else(|| format!("{text} is not A..B"))?;
                options.seeds.extend(number(low.to_owned())?..number(high.to_owned())?);
                options.whole = true;
            }
            "--past" => options.seeds.extend(past()?),
            "--commit-seeds" => options.seeds.extend(commit_seeds(number(value()?)?)),
            "--steps" => options.steps = Some(number(value()?)?),
            "--nodes" => options.nodes = Some(number(value()?)? as u32),
            "--planted" => options.planted = Some(value()?),
            "--planted-all" => options.planted_all = true,
            "--verbose" => options.verbose = true,
            _ => return Err(format!("unknown argument {word}\n{USAGE}")),
        }
    }
    if options.seeds.is_empty() {
        let planted = options.planted.is_some() || options.planted_all;
        options.seeds.extend(0..if planted { PLANTED_SEEDS } else { 60 });
        options.whole = !planted;
    }
    Ok(options)
}

fn past() -> Result<Vec<u64>, String> {
    let lines = PAST.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            line.split_whitespace().next().unwrap_or("").parse().map_err(|error| format!("seeds.txt: {line}: {error}"))
        })
        .collect()
}

/// Seeds that follow from the commit: new ones with each, and the same for whoever checks it out.
fn commit_seeds(count: u64) -> Vec<u64> {
    let named = std::env::var("GITHUB_SHA").ok();
    let asked = || std::process::Command::new("git").args(["rev-parse", "HEAD"]).output().ok();
    let hash = named.or_else(|| asked().and_then(|output| String::from_utf8(output.stdout).ok())).unwrap_or_default();
    let base = hash.trim().get(..12).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    println!("seeds of commit {}: {base}..{}", hash.trim(), base + count);
    (base..base + count).collect()
}

fn run(seed: u64, options: &Options, planted: Option<Planted>, keep: bool) -> Outcome {
    let trace = Trace::new(options.verbose, keep);
    iosdk_sim::run(seed, options.nodes, options.steps.unwrap_or(STEPS), planted, trace)
}

fn replay(seed: u64, options: &Options) -> String {
    let nodes = options.nodes.map(|nodes| format!(" --nodes {nodes}")).unwrap_or_default();
    format!("cargo sim --seed {seed}{nodes} --verbose")
}

fn run_seeds(options: &Options) -> Result<(), String> {
    let started = Instant::now();
    let (mut counts, mut events, mut calls, mut simulated) = (Counts::default(), 0, 0, 0);
    for seed in &options.seeds {
        let outcome = run(*seed, options, None, false);
        if let Some(violation) = outcome.violation {
            // Once more with the lines kept: they cost more than the steps.
            let again = run(*seed, options, None, true);
            return Err(format!("{}\n\nseed {seed} broke {violation}\nreplay: {}", again.tail, replay(*seed, options)));
        }
        counts.merge(&outcome.counts);
        events += outcome.events;
        calls += outcome.calls_run;
        simulated += outcome.simulated.0;
    }
    let seconds = started.elapsed().as_secs_f64();
    twice(options)?;
    counts.print();
    println!(
        "{} seeds, {events} events, {calls} calls run, {:.0} s simulated in {seconds:.1} s: {:.0} events/s",
        options.seeds.len(),
        simulated as f64 / 1e9,
        events as f64 / seconds
    );
    let missing = counts.missing();
    if options.whole && !missing.is_empty() {
        return Err(format!("never occurred: {}", missing.join(", ")));
    }
    Ok(())
}

/// The same seed twice must do the same.
fn twice(options: &Options) -> Result<(), String> {
    for seed in options.seeds.iter().take(1) {
        let (one, two) = (run(*seed, options, None, false), run(*seed, options, None, false));
        if (one.hash, one.events) != (two.hash, two.events) {
            return Err(format!("seed {seed} is not repeatable: {:x} and {:x}", one.hash, two.hash));
        }
        println!("seed {seed}: trace hash {:016x}, {} events", one.hash, one.events);
    }
    Ok(())
}

/// The promise that breaks with this bug, or the assertion of a machine that fails first.
fn seen_with(bug: Planted, seed: u64, options: &Options) -> Option<String> {
    match std::panic::catch_unwind(|| run(seed, options, Some(bug), false)) {
        Ok(outcome) => outcome.violation.map(|violation| violation.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Some(format!("assertion: {}", text.unwrap_or_else(|| "(no text)".to_owned())))
        }
    }
}

fn run_planted(options: &Options, bugs: &[Planted]) -> Result<(), String> {
    let mut unseen = Vec::new();
    // An assertion that fails is how some bugs are seen: its text is printed below, without the stack.
    std::panic::set_hook(Box::new(|_| {}));
    for bug in bugs {
        let caught = options.seeds.iter().take(PLANTED_SEEDS as usize).find_map(|seed| {
            let seen = seen_with(*bug, *seed, options)?;
            // A seed that fails without the bug proves nothing.
            run(*seed, options, None, false).violation.is_none().then_some((*seed, seen))
        });
        match caught {
            Some((seed, seen)) => {
                let text: String = seen.chars().take(100).collect();
                println!("{:<22} seed {seed:<3} {text}", bug.name());
            }
            None => unseen.push(bug.name()),
        }
    }
    if unseen.is_empty() { Ok(()) } else { Err(format!("nobody saw: {}", unseen.join(", "))) }
}

fn main() -> ExitCode {
    let done = parse(std::env::args().skip(1)).and_then(|options| {
        let all = Planted::all();
        match &options.planted {
            _ if options.planted_all => run_planted(&options, &all),
            None => run_seeds(&options),
            Some(name) => match all.iter().find(|bug| bug.name() == *name) {
                Some(bug) => run_planted(&options, &[*bug]).and(Err(format!("{name} was seen, as it should be"))),
                None => {
                    let names: Vec<String> = all.iter().map(Planted::name).collect();
                    Err(format!("no planted bug {name}; there are {}", names.join(", ")))
                }
            },
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
