//! The token that callers over TCP show. Its value leaves this file in no way: it has no `Debug`, no `Display`, no getter.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The cookie by which a browser shows it.
pub const COOKIE: &str = "iosdk-token";

/// Shorter ones could be guessed.
const LENGTH_MIN: usize = 32;

#[derive(Clone)]
pub struct Token {
    value: Arc<str>,
    file: Arc<Path>,
}

impl Token {
    /// Reads the token that `file` holds. Only its owner may have access to the file, and that owner is this user.
    pub fn from_file(file: &Path) -> io::Result<Self> {
        // The refusal of a request names it, to people who are in other directories.
        let file = &std::path::absolute(file)?;
        let said = |what: String| io::Error::other(format!("the token file {} {what}", file.display()));
        let about = std::fs::metadata(file).map_err(|error| said(format!("cannot be looked at: {error}")))?;
        if about.mode() & 0o077 != 0 || about.uid() != rustix::process::getuid().as_raw() {
            return Err(said(format!(
                "has mode {:o} and owner {}: it must be this user's with mode 600 (chmod 600)",
                about.mode() & 0o777,
                about.uid()
            )));
        }
        let text = std::fs::read_to_string(file).map_err(|error| said(format!("cannot be read: {error}")))?;
        let value = text.trim_end_matches('\n');
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if value.len() < LENGTH_MIN || !value.bytes().all(legal) {
            return Err(said(format!(
                "must hold one line of at least {LENGTH_MIN} letters, digits and -._~+/=; it has {} bytes",
                value.len()
            )));
        }
        Ok(Self { value: value.into(), file: file.as_path().into() })
    }

    /// Takes the same time wherever they differ.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.value.as_bytes().ct_eq(shown).into()
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}
