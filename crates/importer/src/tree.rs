//! A document as it stands, JSON or YAML: every value and every key with its place.

use spec::source::Place;

/// A value. It has no `Debug`: it may hold secrets.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// What a value is.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A key and its value.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// The value of a key; `None` too where there are no keys.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.members().iter().find(|it| it.key == key).map(|it| &it.value)
    }

    /// The members of a mapping; none of anything else.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A text, number or truth as text.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(it) | Value::Number(it) => Some(it.clone()),
            Value::Bool(it) => Some(it.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// One scalar or a list of them, as texts with their places.
    pub(crate) fn texts(&self) -> Vec<(String, Place)> {
        let one = |it: &Node| it.scalar().map(|text| (text, it.place.clone()));
        match &self.value {
            Value::List(items) => items.iter().filter_map(one).collect(),
            _ => one(self).into_iter().collect(),
        }
    }

    /// Whether it says nothing: absent, `false`, 0, empty.
    pub(crate) fn is_off(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Bool(it) => !it,
            Value::Number(it) => it == "0",
            Value::Text(it) => it.is_empty() || it == "false",
            Value::List(it) => it.is_empty(),
            Value::Map(it) => it.is_empty(),
        }
    }
}
