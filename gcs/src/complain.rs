//! Lines in the daemon's log. `eprintln!` panics when the log cannot be written, and the log may be on the disk that is full.

macro_rules! complain {
    ($($text:tt)*) => {{
        let _there_is_nowhere_else_to_say_it = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*)));
    }};
}
