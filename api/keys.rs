//! `/api/keys…`: issue, list, change and revoke API keys.

use gateway::{Router, host::vercel};

#[tokio::main]
async fn main() -> Result<(), vercel::Error> {
    vercel::serve(Router::KEYS).await
}
