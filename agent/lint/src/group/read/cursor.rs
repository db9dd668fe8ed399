//! A value in a JSON document together with its pointer.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;

use crate::group::model::At;

/// A value that is there: `null`, and an empty string where it stands for nothing, are not.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    pub(super) value: &'a Value,
    pub(super) pointer: String,
    misread: Rc<RefCell<Vec<At<&'static str>>>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, pointer: String::new(), misread: Rc::default() }
    }

    /// The same place with nothing misread yet: the start of a group.
    pub(super) fn fresh(&self) -> Self {
        Self { value: self.value, pointer: self.pointer.clone(), misread: Rc::default() }
    }

    pub(super) fn misread(&self) -> Vec<At<&'static str>> {
        self.misread.borrow().clone()
    }

    /// A member that is not null.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.below(value, &key.replace('~', "~0").replace('/', "~1")))
    }

    /// A member of a member, and so on.
    pub(super) fn path(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self.clone(), |at, key| at.get(key))
    }

    /// The items of a list. Terraform writes a block as a list of one: an object by itself is one, too.
    pub(super) fn items(&self) -> Vec<Self> {
        match self.value {
            Value::Array(items) => {
                let items = items.iter().enumerate().filter(|(_, item)| !item.is_null());
                items.map(|(index, item)| self.below(item, &index.to_string())).collect()
            }
            Value::Object(_) => vec![self.clone()],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.expect::<()>(None, "a list");
                Vec::new()
            }
        }
    }

    /// The pointer at which a member stands or would stand.
    pub(super) fn pointer_of(&self, keys: &[&str]) -> String {
        let mut pointer = self.pointer.clone();
        for key in keys {
            pointer.push('/');
            pointer.push_str(key);
        }
        pointer
    }

    pub(super) fn text(&self, key: &str) -> Option<At<String>> {
        self.read(key, "a text", |value| value.as_str().map(str::to_owned)).filter(|text| !text.value.is_empty())
    }

    /// A whole number; Terraform writes -1 for none.
    pub(super) fn number(&self, key: &str) -> Option<At<u64>> {
        let read = |value: &Value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let At { value, pointer } = self.read(key, "a number", read)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and negatives are gone"
        )]
        let value = (value >= 0.0).then_some(value as u64)?;
        Some(At { value, pointer })
    }

    pub(super) fn flag(&self, key: &str) -> Option<At<bool>> {
        self.read(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        })
    }

    /// The texts of a list.
    pub(super) fn texts(&self, key: &str) -> Option<At<Vec<String>>> {
        self.read(key, "a list", |value| {
            let items = value.as_array()?.iter();
            Some(items.filter_map(Value::as_str).map(str::to_owned).collect())
        })
    }

    fn read<T>(&self, key: &str, expected: &'static str, read: impl Fn(&'a Value) -> Option<T>) -> Option<At<T>> {
        let member = self.get(key)?;
        let value = member.expect(read(member.value), expected)?;
        Some(At { value, pointer: member.pointer })
    }

    fn expect<T>(&self, read: Option<T>, expected: &'static str) -> Option<T> {
        if read.is_none() {
            self.misread.borrow_mut().push(At { value: expected, pointer: self.pointer.clone() });
        }
        read
    }

    fn below(&self, value: &'a Value, word: &str) -> Self {
        Self { value, pointer: format!("{}/{word}", self.pointer), misread: Rc::clone(&self.misread) }
    }
}
