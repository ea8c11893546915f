//! Words as a shell reads them back.

use crate::failure::Failure;
use std::ffi::OsString;

/// The line for `sh -c`: one word is a line already, several are a command and its arguments.
pub(crate) fn shell_line(words: Vec<OsString>) -> Result<String, Failure> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| Failure::Usage(format!("the command must be UTF-8, and {word:?} is not")))
    };
    let words = words.into_iter().map(text).collect::<Result<Vec<String>, Failure>>()?;
    Ok(match words.as_slice() {
        [line] => line.clone(),
        several => several.iter().map(|word| quoted(word)).collect::<Vec<String>>().join(" "),
    })
}

pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn line(words: &[&str]) -> String {
        shell_line(words.iter().map(OsString::from).collect()).unwrap()
    }

    #[test]
    fn one_word_is_a_line() {
        assert_eq!(line(&["python a.py && echo $HOME"]), "python a.py && echo $HOME");
    }

    #[test]
    fn a_shell_reads_several_words_back() {
        let words = ["printf", "%s|", "a b", "it's", "$HOME", "", "*", "a\nb", "~", "é", "X=1"];
        let output = std::process::Command::new("sh").arg("-c").arg(line(&words)).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words[2..].join("|") + "|");
        assert_eq!(line(&["A=1", "python", "a.py", "--lr=0.1"]), "A=1 python a.py --lr=0.1");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let error = shell_line(vec![OsString::from_vec(vec![0xff])]).unwrap_err();
        assert_eq!(error.code(), 2);
    }
}
