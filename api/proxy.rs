//! `/v1…`: relay one model call to a pooled account.

use gateway::{Router, host::vercel};

#[tokio::main]
async fn main() -> Result<(), vercel::Error> {
    vercel::serve(Router::PROXY).await
}
