//! Our models as the decoding loop sees them.

use super::NextLogits;
use crate::adapter::{Adapter, OnDevice};
use crate::error::Result;
use crate::generate::prompts::Prompts;
use crate::model::composed::{TensorAdapters, TensorCache};
use crate::model::{Decoder, KvCache, NoAdapters};

/// A decoder with or without an adapter.
#[derive(Debug, Clone, Copy)]
pub struct Adapted<'a> {
    /// The base model.
    pub decoder: &'a Decoder,
    /// What was trained for it.
    pub adapter: Option<&'a Adapter>,
    /// What was computed of earlier prompts of both together.
    pub prompts: Option<&'a Prompts>,
    /// Both on the device that computes; none: the CPU, by our own kernels.
    pub there: Option<&'a OnDevice>,
}

/// Keys and values of one sequence where they are computed; the other one stays empty.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    here: KvCache,
    there: TensorCache,
}

impl NextLogits for Adapted<'_> {
    type Cache = Remembered;

    fn new_cache(&self) -> Remembered {
        match self.there {
            Some(there) => Remembered { there: there.decoder.new_cache(), ..Remembered::default() },
            None => Remembered { here: self.decoder.new_cache(), ..Remembered::default() },
        }
    }

    fn max_positions(&self) -> usize {
        self.decoder.max_positions()
    }

    fn forward(&self, inputs: &[&[u32]], caches: &mut [Remembered]) -> Result<Vec<Vec<f32>>> {
        let Some(there) = self.there else {
            let mut own: Vec<KvCache> = caches.iter_mut().map(|cache| std::mem::take(&mut cache.here)).collect();
            let logits = match self.adapter {
                Some(adapter) => self.decoder.forward_cached(inputs, &mut own, adapter),
                None => self.decoder.forward_cached(inputs, &mut own, &NoAdapters),
            };
            caches.iter_mut().zip(own).for_each(|(cache, own)| cache.here = own);
            return logits;
        };
        // A conversation with the base model alone shares its weights with the expert's.
        let adapters: &dyn TensorAdapters = match (self.adapter, &there.adapter) {
            (Some(_), Some(adapter)) => adapter,
            _ => &NoAdapters,
        };
        let mut own: Vec<TensorCache> = caches.iter_mut().map(|cache| std::mem::take(&mut cache.there)).collect();
        let logits = there.decoder.forward_cached(self.decoder, inputs, &mut own, adapters);
        caches.iter_mut().zip(own).for_each(|(cache, own)| cache.there = own);
        logits
    }

    fn prompts(&self, prompts: &[(&[u32], usize)], caches: &mut [Remembered]) -> Result<Vec<Vec<f32>>> {
        let Some(known) = self.prompts.filter(|_| self.there.is_none()) else {
            return self.forward(&prompts.iter().map(|(ids, _)| *ids).collect::<Vec<_>>(), caches);
        };
        // One after the other: the second question about the same tables goes on behind what the first has computed.
        let one = |((ids, shared), cache): (&(&[u32], usize), &mut Remembered)| -> Result<Vec<Vec<f32>>> {
            let shared = (*shared).min(ids.len());
            cache.here = known.beginning(ids, shared, self.decoder);
            let new = &ids[cache.here.len()..];
            let logits = self.forward(&[new], std::slice::from_mut(cache))?;
            known.computed(ids, shared, &cache.here, self.decoder);
            Ok(logits)
        };
        let logits = prompts.iter().zip(caches).map(one).collect::<Result<Vec<_>>>()?;
        Ok(logits.concat())
    }
}
