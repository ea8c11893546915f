//! What a task is called, as users know it: a function, a class, or a class and its method.

use iosdk_types::{ActorId, Key, Map};
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Title<'a> {
    name: &'a str,
    class: Option<&'a str>,
}

impl<'a> Title<'a> {
    /// `actor`: whose method it is. A name that is not known here is empty.
    pub(crate) fn of(
        names: &'a Map<u64, String>,
        classes: &'a Map<ActorId, String>,
        function: Key,
        actor: Option<ActorId>,
    ) -> Self {
        let class = actor.and_then(|actor| classes.get(&actor)).map(String::as_str);
        Self { name: names.get(&function.0).map_or("", String::as_str), class }
    }
}

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Some(class) => write!(f, "{class}.{}", self.name),
            None => f.write_str(self.name),
        }
    }
}
