//! `/api/stats…` and `/api/health`: what was used, what it cost, and whether all is well.

use gateway::{Router, host::vercel};

#[tokio::main]
async fn main() -> Result<(), vercel::Error> {
    vercel::serve(Router::STATS).await
}
