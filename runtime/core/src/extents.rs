//! Freeing what lies in shared memory: at home, at its holder, or, once the holder is dead, by giving up the claim on the extent.

use crate::{Effect, Owner};
use iosdk_types::message::ProcessToRaylet;
use iosdk_types::message::peer::{PeerMessage, Place};
use iosdk_types::{Address, Extent, Map};

/// The raylet hands out whole multiples of this, aligned to it; an object larger than a slab starts its own extent.
const ALIGN: u64 = 2 << 20;

/// Extents of dead holders in which objects of ours lie, and how many do.
#[derive(Default)]
pub(crate) struct Claims {
    extents: Map<(Address, u64), u32>,
}

impl Owner {
    pub(crate) fn free_extent(&mut self, extent: Extent, out: &mut Vec<Effect>) {
        if extent.holder == self.me {
            out.push(Effect::FreeLocal(extent));
            return;
        }
        let start = extent.offset / ALIGN * ALIGN;
        let Some(left) = self.claims.extents.get_mut(&(extent.holder, start)) else {
            let holder = self.peer_at(extent.holder);
            self.send(holder, PeerMessage::Free { extent }, out);
            return;
        };
        *left -= 1;
        out.push(Effect::FreeOrphan(extent));
        if *left == 0 {
            self.claims.extents.remove(&(extent.holder, start));
            out.push(Effect::ToRaylet(ProcessToRaylet::Unclaim { holder: extent.holder, extent: start }));
        }
    }

    /// The holder died: the raylet frees its extents but for those named here.
    pub(crate) fn claim_extents(&mut self, holder: Address, out: &mut Vec<Effect>) {
        for (_, object) in self.objects.iter() {
            if object.owns_bytes()
                && let Some((Place::Arena(extent), _)) = object.value
                && extent.holder == holder
            {
                *self.claims.extents.entry((holder, extent.offset / ALIGN * ALIGN)).or_default() += 1;
            }
        }
        let extents = self.claims.extents.range((holder, 0)..=(holder, u64::MAX)).map(|((_, start), _)| *start);
        out.push(Effect::ToRaylet(ProcessToRaylet::Claims { holder, extents: extents.collect() }));
    }
}
