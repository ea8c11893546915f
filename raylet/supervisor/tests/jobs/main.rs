//! Jobs with real processes. No test harness: this process adopts what its daemons leave behind (it is a child subreaper), so
//! that each test can say that nothing is left; and it plays the daemon when it is started as one, with one thread.

mod daemon;
mod endings;
mod failures;
mod place;
mod starting;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == daemon::ROLE) {
        return daemon::play();
    }
    let tests: [(&str, fn()); 22] = [
        ("exit_codes", endings::exit_codes),
        ("signals", endings::signals),
        ("output_in_its_order_and_at_once", endings::output_in_its_order_and_at_once),
        ("output_past_the_limit", endings::output_past_the_limit),
        ("a_daemonised_grandchild", endings::a_daemonised_grandchild),
        ("a_grandchild_that_ignores_sigterm", endings::a_grandchild_that_ignores_sigterm),
        ("stopped", endings::stopped),
        ("stopped_and_ignoring_it", endings::stopped_and_ignoring_it),
        ("stopped_by_force", endings::stopped_by_force),
        ("the_daemon_is_killed", failures::the_daemon_is_killed),
        ("the_supervisor_is_killed", failures::the_supervisor_is_killed),
        ("the_supervisor_is_killed_before_the_start", failures::the_supervisor_is_killed_before_the_start),
        ("the_nursery_is_killed_before_it_forks", failures::the_nursery_is_killed_before_it_forks),
        ("the_daemon_is_killed_before_the_nursery_forks", failures::the_daemon_is_killed_before_the_nursery_forks),
        ("stopped_before_the_nursery_forks", failures::stopped_before_the_nursery_forks),
        ("stopped_before_the_start", failures::stopped_before_the_start),
        ("more_requests_than_fit", failures::more_requests_than_fit),
        ("environment_and_secrets", starting::environment_and_secrets),
        ("a_working_directory_from_an_archive", starting::a_working_directory_from_an_archive),
        ("what_cannot_start", starting::what_cannot_start),
        ("long_paths", starting::long_paths),
        ("a_quiet_supervisor_is_small", starting::a_quiet_supervisor_is_small),
    ];
    if arguments.iter().any(|argument| argument == "--list") {
        // There are no ignored tests to list.
        for (name, _) in tests.iter().filter(|_| !arguments.iter().any(|argument| argument == "--ignored")) {
            println!("{name}: test");
        }
        return;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let chosen = |name: &str| {
        let matches = |filter: &&String| if exact { name == filter.as_str() } else { name.contains(filter.as_str()) };
        filters.is_empty() || filters.iter().any(matches)
    };
    for (name, test) in tests.iter().filter(|(name, _)| chosen(name)) {
        println!("test {name}");
        test();
        daemon::nothing_is_left();
    }
}
