//! The part of an address after the `?`. Names that nobody knows are ignored; the first of a repeated name counts.

use crate::ApiError;
use axum::http::Uri;
use std::borrow::Cow;

pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(crate) fn of(uri: &'a Uri) -> Self {
        Self(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_ref())
    }

    /// Every value of a name that may be repeated, in order.
    pub(crate) fn texts<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_ref())
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong =
            |_| ApiError::invalid(format!("{name} must be a whole number from 0 to {}, got {text:?}", u64::MAX));
        text.parse().map(Some).map_err(wrong)
    }

    /// 1 or 0; absent is 0.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(text) => Err(ApiError::invalid(format!("{name} must be 0 or 1, got {text:?}"))),
        }
    }
}
