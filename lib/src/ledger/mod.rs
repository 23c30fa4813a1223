//! What a request cost: the price table and its arithmetic. No IO.

mod money;
mod price;

pub use money::Micros;
pub use price::{PriceTable, Priced, Rate, Row, is_price_column};
