//! What a request cost: the price table and its arithmetic. No IO.

mod price;

pub use crate::money::Micros;
pub use price::{PriceTable, Priced, RATES, Rate, Row};
