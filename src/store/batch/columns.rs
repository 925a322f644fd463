//! A serializer that turns rows into columns: each a PostgreSQL array literal, such as `{"a","b",NULL}`.

use std::fmt::{Display, Write};

use serde::Serialize;
use serde::ser::{self, Impossible, Serializer};

#[derive(Debug)]
pub(super) struct Unfit(String);

impl Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: Display>(why: T) -> Unfit {
        Unfit(why.to_string())
    }
}

/// One literal a column, in the order of the fields; a row that is no struct and no tuple is one column.
pub(super) fn of<T: Serialize>(rows: &[T]) -> Result<Vec<String>, Unfit> {
    let mut columns = Columns::default();
    for row in rows {
        columns.at = 0;
        let before = columns.texts.len();
        row.serialize(&mut columns)?;
        let new = before > 0 && columns.texts.len() > before;
        if new || columns.at != columns.texts.len() {
            return Err(ser::Error::custom("rows of different shapes"));
        }
    }
    let closed = columns.texts.into_iter().map(|text| text + "}");
    Ok(closed.collect())
}

#[derive(Default)]
struct Columns {
    texts: Vec<String>,
    /// The column of the next cell.
    at: usize,
}

impl Columns {
    /// Where the next cell goes.
    fn next(&mut self) -> &mut String {
        if self.at == self.texts.len() {
            self.texts.push(String::from("{"));
        }
        let text = &mut self.texts[self.at];
        self.at += 1;
        if text.len() > 1 {
            text.push(',');
        }
        text
    }

    fn plain(&mut self, value: impl Display) -> Result<(), Unfit> {
        write!(self.next(), "{value}").map_err(ser::Error::custom)
    }

    fn quoted(&mut self, value: &str) {
        let text = self.next();
        text.push('"');
        for part in value.split_inclusive(['"', '\\']) {
            match part.as_bytes().last() {
                Some(b'"' | b'\\') => {
                    let (rest, last) = part.split_at(part.len() - 1);
                    text.push_str(rest);
                    text.push('\\');
                    text.push_str(last);
                }
                Some(_) | None => text.push_str(part),
            }
        }
        text.push('"');
    }
}

macro_rules! plain {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), Unfit> {
            self.plain(value)
        })*
    };
}

macro_rules! unfit {
    ($($name:ident($($arg:ty),*) -> $ok:ty),* $(,)?) => {
        $(fn $name(self, $(_: $arg),*) -> Result<$ok, Unfit> {
            Err(ser::Error::custom(concat!("no cell: ", stringify!($name))))
        })*
    };
}

impl Serializer for &mut Columns {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), Unfit>;
    type SerializeTupleVariant = Impossible<(), Unfit>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Unfit>;

    plain!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
           serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);

    unfit!(
        serialize_f32(f32) -> (),
        serialize_f64(f64) -> (),
        serialize_bytes(&[u8]) -> (),
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant,
    );

    fn serialize_char(self, value: char) -> Result<(), Unfit> {
        self.quoted(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Unfit> {
        // PostgreSQL's texts cannot hold this character, and a message of Toss's may: no outcome is lost for it.
        match value.contains('\0') {
            true => self.quoted(&value.replace('\0', "\u{fffd}")),
            false => self.quoted(value),
        }
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        self.plain("NULL")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unfit> {
        self.plain("NULL")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        self.plain("NULL")
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Unfit> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unfit> {
        Err(ser::Error::custom("no cell: a variant with a value"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unfit> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unfit> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unfit> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        Ok(self)
    }
}

impl ser::SerializeSeq for &mut Columns {
    type Ok = ();
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

impl ser::SerializeTuple for &mut Columns {
    type Ok = ();
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

impl ser::SerializeStruct for &mut Columns {
    type Ok = ();
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

/// A struct that is flattened into another arrives as one.
impl ser::SerializeMap for &mut Columns {
    type Ok = ();
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Inner {
        flag: u8,
        text: Option<&'static str>,
    }

    #[derive(Serialize)]
    struct Row {
        id: uuid::Uuid,
        #[serde(flatten)]
        inner: Inner,
        sum: i64,
    }

    #[test]
    fn each_column_is_an_array_and_an_absent_value_is_null() {
        let row = |text, sum| Row {
            id: uuid::Uuid::nil(),
            inner: Inner { flag: 1, text },
            sum,
        };
        let columns = of(&[row(Some("a"), -5), row(None, 7)]).unwrap();
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(
            columns,
            [
                format!(r#"{{"{nil}","{nil}"}}"#),
                "{1,1}".to_owned(),
                r#"{"a",NULL}"#.to_owned(),
                "{-5,7}".to_owned(),
            ]
        );
    }

    #[test]
    fn no_text_can_leave_its_cell() {
        let texts = [r#"a"b"#, r"c\d", r#"\",NULL}"#, "", "NULL", "{x,y}", "갸"];
        let columns = of(&texts).unwrap();
        let wanted = r#"{"a\"b","c\\d","\\\",NULL}","","NULL","{x,y}","갸"}"#;
        assert_eq!(columns, [wanted]);
        assert_eq!(of(&["a\0b"]).unwrap(), ["{\"a\u{fffd}b\"}"]);
    }

    #[test]
    fn pairs_are_two_columns_and_rows_of_different_shapes_are_refused() {
        assert_eq!(
            of(&[("a", 1), ("b", 2)]).unwrap(),
            [r#"{"a","b"}"#, "{1,2}"]
        );
        assert!(of(&[vec![1], vec![1, 2]]).is_err());
        assert_eq!(of::<u8>(&[]).unwrap(), Vec::<String>::new());
    }
}
