//! One pass over the text of an object or a list: what is wanted is pointed at, the rest is skipped without a copy.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What was found of some names, and which was there twice.
pub struct Found<'a, const N: usize> {
    pub values: [Option<&'a RawValue>; N],
    pub twice: Option<&'static str>,
}

#[derive(Clone, Copy)]
pub struct Named<const N: usize>(pub &'static [&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Named<N> {
    type Value = Found<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Found<'de, N>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Named<N> {
    type Value = Found<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de, N>, A::Error> {
        let mut found = Found {
            values: [None; N],
            twice: None,
        };
        while let Some(known) = map.next_key_seed(Name(self.0))? {
            match known {
                Some(index) => {
                    let before = found.values[index].replace(map.next_value()?);
                    if before.is_some() {
                        found.twice = Some(self.0[index]);
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// A key of an object: the index of a name that is wanted, or none.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// The items of a list; `None` once there are too many, so that a long list costs no memory.
pub struct Items {
    pub most: usize,
}

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Option<Vec<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == self.most {
                return Ok(None);
            }
            items.push(item);
        }
        Ok(Some(items))
    }
}
