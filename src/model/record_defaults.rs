//! The defaults of record fields that are not their type's own, and a strict map: what the structs of records give serde.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::text::Text;

/// Deserializes a map in which no key stands twice; JSON readers otherwise keep the last one in silence.
pub fn deserialize_unique_map<'de, D, V>(reader: D) -> Result<BTreeMap<Text, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct UniqueMapVisitor<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueMapVisitor<V> {
        type Value = BTreeMap<Text, V>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an object in which no key stands twice")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<Text, V>()? {
                if let Some(_first) = map.insert(key.clone(), value) {
                    return Err(A::Error::custom(format_args!("`{key}` stands twice")));
                }
            }
            Ok(map)
        }
    }

    reader.deserialize_map(UniqueMapVisitor(PhantomData))
}

/// Returns whether a value is its type's default.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares a default that is not the type's own, and the function that tells whether a value is that default.
macro_rules! defaults {
    ($($name:ident, $is:ident: $type:ty = $value:expr;)*) => {$(
        /// Returns the default.
        pub fn $name() -> $type {
            $value
        }

        /// Returns whether the value is that default.
        pub fn $is(value: &$type) -> bool {
            *value == $name()
        }
    )*};
}

defaults! {
    default_true, is_true: bool = true;
    default_operations_per_minute, is_default_operations_per_minute: u32 = 600;
    default_projects_limit, is_default_projects_limit: u32 = 100_000;
    default_token_lifetime_days, is_default_token_lifetime_days: u32 = 365;
    default_host, is_default_host: Text = text_literal("localhost");
    default_web_url, is_default_web_url: Text = text_literal("http://localhost");
    default_branch_name, is_default_branch_name: Text = text_literal("main");
    default_storage, is_default_storage: Text = text_literal("default");
}

fn text_literal(word: &str) -> Text {
    Text::try_from(word).unwrap_or_default()
}
