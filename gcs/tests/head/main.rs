//! Heads as real processes: jobs over the Unix socket, a raylet made of nothing but a link, and everything that can end a head.
//! No harness: this program is also the head that the tests start.

mod client;
mod crashes;
mod jobs;
mod process;
mod raylet;
mod sizes;
mod starting;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(process::ROLE) => std::process::exit(process::be_a_head(&arguments[1..])),
        Some(starting::ROLE) => return raylet::report_the_link(&arguments[1]),
        _ => {}
    }
    let tests: [(&str, fn()); 14] = [
        ("a_job_from_its_submission_to_its_deletion", jobs::a_job_from_its_submission_to_its_deletion),
        ("stopped_and_failed_jobs", jobs::stopped_and_failed_jobs),
        ("what_is_not_there_yet_is_refused", jobs::what_is_not_there_yet_is_refused),
        ("usage_is_kept", jobs::usage_is_kept),
        ("private_files", starting::private_files),
        ("one_head_a_directory", starting::one_head_a_directory),
        ("one_process_for_both", starting::one_process_for_both),
        ("a_link_that_comes_and_goes", starting::a_link_that_comes_and_goes),
        ("killed_twenty_times", crashes::killed_twenty_times),
        ("what_a_killed_head_left_is_swept", crashes::what_a_killed_head_left_is_swept),
        ("a_log_that_was_cut", crashes::a_log_that_was_cut),
        ("a_full_disk", crashes::a_full_disk),
        ("a_snapshot_keeps_everything", sizes::a_snapshot_keeps_everything),
        ("ten_thousand_jobs", sizes::ten_thousand_jobs),
    ];
    if arguments.iter().any(|argument| argument == "--list") {
        // There are no ignored tests to list.
        for (name, _) in tests.iter().filter(|_| !arguments.iter().any(|argument| argument == "--ignored")) {
            println!("{name}: test");
        }
        return;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let chosen = |name: &str| {
        let matches = |filter: &&String| if exact { name == filter.as_str() } else { name.contains(filter.as_str()) };
        filters.is_empty() || filters.iter().any(matches)
    };
    for (name, test) in tests.iter().filter(|(name, _)| chosen(name)) {
        println!("test {name}");
        test();
    }
}
