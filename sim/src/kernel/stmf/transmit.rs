// SPDX-License-Identifier: MPL-2.0
//! A message through the door: encode, upcall, and what the kernel makes of the outcome.

use super::Stmf;
use crate::kernel::doors::DoorError;
use bytes::Bytes;
use std::time::Duration;
use stmf_proxy::message::{Message, status};

/// How often a message is offered to a door that answers EAGAIN.
pub const ATTEMPTS: u32 = 3;

/// How long the kernel waits between two attempts.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Stmf<'_> {
    /// Sends a message through the door: [`ATTEMPTS`] attempts, [`RETRY_AFTER`] apart, while it
    /// answers EAGAIN. The status (64 bits) is 0 on success; it also is 0 if the door server
    /// answered with a result other than 0, which is logged and forgotten.
    pub async fn transmit(&self, message: &Message) -> u64 {
        let kernel = self.0;
        let bytes = match message.encode(kernel.config().dialect) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                kernel.warn(format!("cannot encode a message for the peer: {error}"));
                return status::FAILURE;
            }
        };
        for attempt in 1..=ATTEMPTS {
            match kernel.pppt().upcall(&bytes).await {
                Ok(0) => return status::SUCCESS,
                Ok(result) => {
                    kernel.warn(format!("proxy door: bad result {result} from the daemon"));
                    return status::SUCCESS;
                }
                Err(DoorError::NoDoor) => return status::FAILURE,
                Err(error) if error.is_try_again() && attempt < ATTEMPTS => {
                    kernel.executor().sleep(RETRY_AFTER).await;
                }
                Err(error) => {
                    kernel.warn(format!("proxy door: upcall failed: {error}"));
                    return status::FAILURE;
                }
            }
        }
        status::FAILURE
    }
}
