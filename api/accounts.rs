//! `/api/accounts…`: add, list, check and remove upstream accounts.

use gateway::{Router, host::vercel};

#[tokio::main]
async fn main() -> Result<(), vercel::Error> {
    vercel::serve(Router::ACCOUNTS).await
}
