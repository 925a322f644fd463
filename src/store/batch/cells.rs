//! A serializer that takes rows apart: each value is a cell, in the order of the fields, and what becomes of cells and rows
//! is the sink's.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{self, Impossible, Serializer};

/// Where cells go.
pub(super) trait Sink {
    /// A row of several cells. One that is no struct and no tuple is a cell by itself.
    fn begin(&mut self) {}
    fn end(&mut self) {}
    /// A number, or a word of the format such as null.
    fn plain(&mut self, value: &dyn Display) -> Result<(), Unfit>;
    fn null(&mut self) -> Result<(), Unfit>;
    fn quoted(&mut self, value: &str) -> Result<(), Unfit>;
}

pub(super) struct Cells<'a, S>(pub &'a mut S);

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

macro_rules! plain {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), Unfit> {
            self.0.plain(&value)
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

impl<S: Sink> Serializer for Cells<'_, S> {
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
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Unfit> {
        // Not every database can hold this character, and a message of Toss's may: no outcome is lost for it.
        match value.contains('\0') {
            true => self.0.quoted(&value.replace('\0', "\u{fffd}")),
            false => self.0.quoted(value),
        }
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        self.0.null()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unfit> {
        self.0.null()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        self.0.null()
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
        self.0.begin();
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unfit> {
        self.0.begin();
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unfit> {
        self.0.begin();
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        self.0.begin();
        Ok(self)
    }
}

impl<S: Sink> ser::SerializeSeq for Cells<'_, S> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(Cells(&mut *self.0))
    }

    fn end(self) -> Result<(), Unfit> {
        self.0.end();
        Ok(())
    }
}

impl<S: Sink> ser::SerializeTuple for Cells<'_, S> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(Cells(&mut *self.0))
    }

    fn end(self) -> Result<(), Unfit> {
        self.0.end();
        Ok(())
    }
}

impl<S: Sink> ser::SerializeStruct for Cells<'_, S> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(Cells(&mut *self.0))
    }

    fn end(self) -> Result<(), Unfit> {
        self.0.end();
        Ok(())
    }
}

/// A struct that is flattened into another arrives as one.
impl<S: Sink> ser::SerializeMap for Cells<'_, S> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(Cells(&mut *self.0))
    }

    fn end(self) -> Result<(), Unfit> {
        self.0.end();
        Ok(())
    }
}
