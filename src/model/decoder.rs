//! The decoder: forward, loss, backward, cached generation.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::batch::{Batch, LossSum, Noise, Sequence, Targets};
use super::checkpointing::Checkpointing;
use super::config::Config;
use super::fresh::{Fresh, Tensors};
use super::kv_cache::KvCache;
use super::layer::{Kept, Layer, Linear, Pass};
use super::sites::{Adapters, Norm, RowNoise, Site, TrainableAdapters};
use super::weight::{Checkpoint, TensorMut, Weight};
use super::weight_cache::{self, Quantisation};
use crate::error::{Problem, Result};
use crate::kernels::buffer::{self, Buffer};
use crate::kernels::rope::Table;
use crate::kernels::{attention, cross_entropy, linear, rms_norm, team};

/// A decoder-only transformer with frozen weights.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    pub(super) embedding: Weight,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Vec<f32>,
    /// None: the head is the embedding.
    pub(super) head: Option<Weight>,
    /// Rotary angles as far as they were needed.
    table: Mutex<Arc<Table>>,
    checkpointing: Checkpointing,
}

impl Decoder {
    /// Loads a HF folder (config.json, model.safetensors or its shards); weights stay mapped.
    pub fn load(dir: &Path) -> Result<Self> {
        let config = Config::from_dir(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        // Multimodal checkpoints hold the decoder one level deeper.
        let prefix = ["model.", "language_model.model.", "model.language_model."]
            .into_iter()
            .find(|prefix| checkpoint.contains(&format!("{prefix}embed_tokens.weight")))
            .ok_or_else(|| Problem::input(format!("{} has no model.embed_tokens.weight", dir.display())))?;
        let head = if prefix == "language_model.model." { "language_model.lm_head.weight" } else { "lm_head.weight" };
        Self::build(config, &checkpoint, prefix, head)
    }

    /// A decoder of random numbers, the start of training from scratch: linears and embedding N(0, deviation²), norms 1,
    /// biases 0, as transformers initialises them.
    pub fn fresh(config: Config, seed: u64, deviation: f64) -> Result<Self> {
        Self::build(config, &Fresh { seed, deviation }, "model.", "lm_head.weight")
    }

    fn build(config: Config, tensors: &dyn Tensors, prefix: &str, head: &str) -> Result<Self> {
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::load(tensors, prefix, index, &config))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            embedding: tensors.weight(&format!("{prefix}embed_tokens.weight"), vocab, hidden)?,
            layers,
            final_norm: tensors.vector(&format!("{prefix}norm.weight"), hidden)?,
            head: if config.tie_word_embeddings { None } else { Some(tensors.weight(head, vocab, hidden)?) },
            table: Mutex::new(Arc::new(config.rope.table(0))),
            checkpointing: Checkpointing::Off,
            config,
        })
    }

    /// Loads a HF folder with quantised linears, and embeddings if asked: made once, then mapped from
    /// `cache`/quantised (see [`Quantisation`]). The second value says what could not be held in the form asked for.
    pub fn load_quantised(
        dir: &Path,
        quantisation: Quantisation,
        cache: &Path,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Self, Vec<String>)> {
        let mut decoder = Self::load(dir)?;
        let notes = weight_cache::quantise(&mut decoder, dir, quantisation, cache, progress)?;
        Ok((decoder, notes))
    }

    /// Bytes of all weights, mapped or not.
    pub fn weight_bytes(&mut self) -> usize {
        let mut bytes = 0;
        self.visit_tensors(&mut |_, tensor| {
            bytes += match tensor {
                TensorMut::Matrix(weight) => weight.bytes(),
                TensorMut::Vector(values) => values.len() * 4,
            };
        });
        bytes
    }

    /// Keeps f32 activations in all products, also where the processor would multiply bf16 weights faster with rounded
    /// ones: for answers that are to equal those of an f32 computation.
    #[must_use]
    pub fn with_exact_activations(mut self) -> Self {
        self.visit_tensors(&mut |_, tensor| tensor.make_exact());
        self
    }

    /// Holds every matrix in bf16, rounded to nearest: processors with AVX-512-BF16 multiply them twice as fast as f32.
    pub fn round_to_bf16(&mut self) {
        self.visit_tensors(&mut |_, tensor| tensor.round_to_bf16());
    }

    /// Holds the matrices that are stored in f32 or f16 in memory, rounded to bf16; says whether there were any.
    pub fn narrow_to_bf16(&mut self) -> bool {
        let mut any = false;
        self.visit_tensors(&mut |_, tensor| any |= tensor.narrow_to_bf16());
        any
    }

    /// Trades time for memory in [`Decoder::loss_backward`]: how much each layer holds for its backward.
    pub fn set_gradient_checkpointing(&mut self, how: Checkpointing) {
        self.checkpointing = how;
    }

    /// Shapes and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of rows of the embedding: logits have this width, the tokenizer may know fewer ids.
    pub fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    /// Longest context of the config, in tokens.
    pub fn max_positions(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// The frozen linear at a site.
    pub fn linear(&self, site: Site) -> &Linear {
        self.layers[site.layer].linear(site.module)
    }

    /// Calls `f` with every tensor under its HF name; a tied head is the embedding and comes once.
    pub fn visit_tensors(&mut self, f: &mut dyn FnMut(&str, TensorMut<'_>)) {
        f("model.embed_tokens.weight", TensorMut::Matrix(&mut self.embedding));
        for layer in &mut self.layers {
            layer.visit_tensors(f);
        }
        f("model.norm.weight", TensorMut::Vector(&mut self.final_norm));
        if let Some(head) = &mut self.head {
            f("lm_head.weight", TensorMut::Matrix(head));
        }
    }

    /// Makes one row of the embedding, and of a head of its own, for each of `sources`: the mean of the rows of these ids,
    /// or of all rows where there are none.
    pub fn replace_vocabulary(&mut self, sources: &[Vec<u32>]) -> Result<()> {
        sources.iter().try_for_each(|ids| self.check_ids(ids))?;
        self.embedding = self.embedding.means_of_rows(sources);
        self.head = self.head.as_ref().map(|head| head.means_of_rows(sources));
        self.config.vocab_size = sources.len();
        Ok(())
    }

    fn head(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Rotary angles for positions up to and including the highest of `positions`.
    pub(super) fn table(&self, positions: &[u32]) -> Arc<Table> {
        let needed = positions.iter().max().map_or(1, |p| *p as usize + 1);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.positions() < needed {
            *table = Arc::new(self.config.rope.table(needed.next_power_of_two()));
        }
        Arc::clone(&table)
    }

    /// Refuses ids that the embedding has no row for.
    pub(super) fn check_ids(&self, ids: &[u32]) -> Result<()> {
        let vocab = self.config.vocab_size;
        match ids.iter().find(|id| **id as usize >= vocab) {
            Some(id) => Err(Problem::input(format!("token id {id} is beyond the model's {vocab} ids"))
                .hint("the tokenizer and the weights must belong to the same model")
                .into()),
            None => Ok(()),
        }
    }

    fn embed(&self, ids: &[u32]) -> Result<Buffer> {
        self.check_ids(ids)?;
        let hidden = self.config.hidden_size;
        let mut x = Buffer::unspecified(ids.len() * hidden);
        for (row, id) in x.chunks_exact_mut(hidden).zip(ids) {
            self.embedding.matrix().widen_row(*id as usize, row);
        }
        Ok(x)
    }

    /// One layer over a whole batch, x [tokens, hidden] in place; with `kept` the pass is one of training.
    fn run_layer(
        &self,
        index: usize,
        x: &mut [f32],
        batch: &Batch,
        pass: &Pass<'_>,
        adapters: &dyn Adapters,
        kept: Option<&mut Kept>,
    ) {
        let shape = pass.shape(index);
        let mut attend = |q: &[f32], k: &[f32], v: &[f32], out: &mut [f32], lse: &mut [f32]| {
            attention::forward(shape, &batch.sequences, q, k, v, out, lse);
        };
        self.layers[index].forward(x, pass, adapters, &mut attend, kept);
    }

    /// RMSNorm of the given rows of x before the head: ([rows, hidden] gathered, normed, 1/rms).
    fn final_rows(&self, x: &[f32], rows: &[usize]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let hidden = self.config.hidden_size;
        let gathered: Vec<f32> = rows.iter().flat_map(|row| &x[row * hidden..(row + 1) * hidden]).copied().collect();
        let (mut y, mut inverse) = (vec![0.0; gathered.len()], vec![0.0; rows.len()]);
        rms_norm::forward(&gathered, &self.final_norm, self.config.rms_norm_eps, &mut y, &mut inverse);
        (gathered, y, inverse)
    }

    /// Logits of the given rows, [rows, vocab].
    fn head_logits(&self, x: &[f32], rows: &[usize]) -> Vec<f32> {
        let (_, y, _) = self.final_rows(x, rows);
        let mut logits = vec![0.0; rows.len() * self.config.vocab_size];
        linear::forward(&y, rows.len(), self.head().matrix(), &mut logits, crate::kernels::gemm::Write::Set);
        logits
    }

    /// Logits of every token of a batch, [tokens, vocab].
    pub fn logits(&self, batch: &Batch, adapters: &dyn Adapters) -> Result<Vec<f32>> {
        let x = self.hidden(batch, adapters)?;
        let rows: Vec<usize> = (0..batch.len()).collect();
        Ok(self.head_logits(&x, &rows))
    }

    /// The residual stream after the last layer, [tokens, hidden], before the final norm.
    fn hidden(&self, batch: &Batch, adapters: &dyn Adapters) -> Result<Buffer> {
        let mut x = self.embed(&batch.input_ids)?;
        let table = self.table(&batch.position_ids);
        let pass = Pass { config: &self.config, table: &table, positions: &batch.position_ids, noise: None };
        for index in 0..self.layers.len() {
            self.run_layer(index, &mut x, batch, &pass, adapters, None);
        }
        buffer::settle();
        Ok(x)
    }

    pub(super) fn check(&self, batch: &Batch, targets: &Targets) -> Result<()> {
        let bad_label = targets.labels.iter().find(|label| **label as usize >= self.config.vocab_size);
        let bad_position = targets.positions.iter().find(|p| **p >= batch.len());
        if targets.positions.is_empty() || bad_label.is_some() || bad_position.is_some() {
            return Err(Problem::failed(format!(
                "a batch of {} tokens has {} targets (first bad label {bad_label:?}, first bad position {bad_position:?})",
                batch.len(),
                targets.positions.len(),
            ))
            .into());
        }
        Ok(())
    }

    /// The loss over the targets (no gradients, no dropout).
    pub fn loss(&self, batch: &Batch, targets: &Targets, adapters: &dyn Adapters) -> Result<LossSum> {
        self.check(batch, targets)?;
        let x = self.hidden(batch, adapters)?;
        let (_, y, _) = self.final_rows(&x, &targets.positions);
        let sums = cross_entropy::forward_backward(&y, &targets.labels, self.head().matrix(), None);
        Ok(LossSum { nll: sums.nll, targets: targets.labels.len(), correct: sums.correct })
    }

    /// The loss over the targets; adds the gradient of its SUM to the adapters' gradients.
    pub fn loss_backward(
        &self,
        batch: &Batch,
        targets: &Targets,
        adapters: &mut dyn TrainableAdapters,
        noise: Noise,
    ) -> Result<LossSum> {
        self.check(batch, targets)?;
        let mut x = self.embed(&batch.input_ids)?;
        let table = self.table(&batch.position_ids);
        let rows = row_keys(batch);
        let noise = Some(RowNoise { noise, rows: &rows });
        let pass = Pass { config: &self.config, table: &table, positions: &batch.position_ids, noise };

        // Per layer either all that its backward needs, or its input only, from which the forward runs again.
        let mut kept: Vec<Kept> = Vec::new();
        let mut inputs: Vec<Buffer> = Vec::new();
        for index in 0..self.layers.len() {
            if self.checkpointing == Checkpointing::On {
                inputs.push(x.clone());
                self.run_layer(index, &mut x, batch, &pass, adapters.as_adapters(), None);
            } else {
                let mut slot = Kept::default();
                self.run_layer(index, &mut x, batch, &pass, adapters.as_adapters(), Some(&mut slot));
                if self.checkpointing == Checkpointing::Selective {
                    self.layers[index].thin(&mut slot);
                }
                kept.push(slot);
            }
        }

        let (gathered, y, inverse) = self.final_rows(&x, &targets.positions);
        let mut dy = Buffer::unspecified(y.len());
        let everything = adapters.trains_everything();
        let sums = cross_entropy::forward_backward_each(
            &y,
            &targets.labels,
            self.head().matrix(),
            Some(&mut dy),
            |h, d_logits| {
                if everything {
                    adapters.head_backward(self.head().matrix(), h, d_logits);
                }
            },
        );
        if everything {
            adapters.norm_backward(Norm::Final, &gathered, &inverse, &dy);
        }
        let mut d_rows = Buffer::zeros(y.len());
        rms_norm::backward(&gathered, &self.final_norm, &inverse, &dy, &mut d_rows);
        let hidden = self.config.hidden_size;
        let mut dx = x;
        dx.fill(0.0);
        for (row, d) in targets.positions.iter().zip(d_rows.chunks_exact(hidden)) {
            for (to, from) in dx[row * hidden..(row + 1) * hidden].iter_mut().zip(d) {
                *to += from;
            }
        }

        for (index, layer) in self.layers.iter().enumerate().rev() {
            let kept = match kept.pop() {
                Some(mut slot) => {
                    if self.checkpointing == Checkpointing::Selective {
                        layer.restore(&mut slot, &pass, adapters.as_adapters());
                    }
                    slot
                }
                None => {
                    let mut slot = Kept::default();
                    let mut input = inputs.pop().unwrap_or_default();
                    self.run_layer(index, &mut input, batch, &pass, adapters.as_adapters(), Some(&mut slot));
                    slot
                }
            };
            layer.backward(kept, &batch.sequences, &pass, adapters, &mut dx);
        }
        if everything {
            adapters.embedding_backward(&batch.input_ids, &dx);
        }
        buffer::settle();
        Ok(LossSum { nll: sums.nll, targets: targets.labels.len(), correct: sums.correct })
    }

    /// An empty cache for one sequence.
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(self.layers.len())
    }

    /// Appends `inputs[i]` (at least one token) to sequence `i` and returns the logits of its last token,
    /// `[sequences][vocab]`. Prompts go in whole (batched prefill); afterwards one token each.
    ///
    /// Where bf16 or quantised weights meet AVX-512-BF16, a pass over more than [`linear::FEW_ROWS`] tokens rounds its
    /// activations to bf16, as llama.cpp does; fewer, the tokens of an answer, stay in f32. So a sequence's numbers do not
    /// depend on what else is in the batch, and a prompt's not on where it was cut, as long as each part is longer
    /// than that.
    pub fn forward_cached(
        &self,
        inputs: &[&[u32]],
        caches: &mut [KvCache],
        adapters: &dyn Adapters,
    ) -> Result<Vec<Vec<f32>>> {
        assert_eq!(inputs.len(), caches.len(), "one cache per sequence");
        if inputs.iter().any(|input| input.is_empty()) {
            return Err(Problem::failed("a sequence to continue has no new token").into());
        }
        let mut logits = Vec::with_capacity(inputs.len());
        // So many that even the head, which sees one token of each, does not round.
        for (inputs, caches) in inputs.chunks(linear::FEW_ROWS).zip(caches.chunks_mut(linear::FEW_ROWS)) {
            let tokens: usize = inputs.iter().map(|input| input.len()).sum();
            let rows = match tokens <= linear::FEW_ROWS {
                true => team::work_together(|| self.continue_some(inputs, caches, adapters)),
                false => self.continue_some(inputs, caches, adapters),
            }?;
            logits.extend(rows);
        }
        Ok(logits)
    }

    fn continue_some(
        &self,
        inputs: &[&[u32]],
        caches: &mut [KvCache],
        adapters: &dyn Adapters,
    ) -> Result<Vec<Vec<f32>>> {
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(inputs.len());
        let (mut ids, mut positions) = (Vec::new(), Vec::new());
        for (input, cache) in inputs.iter().zip(caches.iter()) {
            ranges.push(ids.len()..ids.len() + input.len());
            ids.extend_from_slice(input);
            positions.extend(cache.len as u32..(cache.len + input.len()) as u32);
        }
        let mut x = self.embed(&ids)?;
        let table = self.table(&positions);
        let pass = Pass { config: &self.config, table: &table, positions: &positions, noise: None };
        let qw = self.config.num_attention_heads * self.config.head_dim;
        let kvw = self.config.num_key_value_heads * self.config.head_dim;
        for (index, layer) in self.layers.iter().enumerate() {
            let shape = pass.shape(index);
            let mut attend = |q: &[f32], k: &[f32], v: &[f32], out: &mut [f32], _: &mut [f32]| {
                for (range, cache) in ranges.iter().zip(caches.iter_mut()) {
                    let new = range.start * kvw..range.end * kvw;
                    let layer = &mut cache.layers[index];
                    layer.push(shape, &k[new.clone()], &v[new]);
                    let rows = range.start * qw..range.end * qw;
                    attention::forward_cached(shape, &q[rows.clone()], layer, &mut out[rows]);
                }
            };
            layer.forward(&mut x, &pass, adapters, &mut attend, None);
        }
        buffer::settle();
        for (range, cache) in ranges.iter().zip(caches.iter_mut()) {
            cache.len += range.len();
        }
        let last: Vec<usize> = ranges.iter().map(|range| range.end - 1).collect();
        let logits = self.head_logits(&x, &last);
        Ok(match last.len() {
            1 => vec![logits],
            _ => logits.chunks_exact(self.config.vocab_size).map(<[f32]>::to_vec).collect(),
        })
    }
}

/// (sequence id, offset in the sequence) of every row.
pub(super) fn row_keys(batch: &Batch) -> Vec<(u64, u32)> {
    let sequences = batch.sequences.iter().zip(&batch.sequence_ids);
    let offsets = |s: &Sequence| s.prefix.len() as u32..(s.prefix.len() + s.rows.len()) as u32;
    sequences.flat_map(|(sequence, id)| offsets(sequence).map(move |offset| (*id, offset))).collect()
}
