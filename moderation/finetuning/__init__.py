"""Fine-tune the small transformer encoder.

In stages: the label-rich public sources, then news comments with the sentences written for this project,
then ever more of these, so that what is learned last is what is asked. What that costs on news is won back by
averaging the weights of all stages; from there our sentences are learned once more, while public comments keep the
labels that the averaged network gives them, and the weights go a part of the way only. The state is saved as it goes,
and a run that was cut off continues where it stood.
A model that exists is fine-tuned further by that last stage alone. What the encoder says is taught to the router.

Source: Howard and Ruder, "Universal Language Model Fine-tuning", ACL 2018 (general before target data);
Yang et al., "Hierarchical Attention Networks", NAACL 2016 (attention pooling); Zaidan et al., "Using
annotator rationales to improve machine learning for text categorization", NAACL 2007 (supervised evidence); Wortsman
et al., "Model soups", ICML 2022, and "Robust fine-tuning of zero-shot models", CVPR 2022 (averaged weights); Li and
Hoiem, "Learning without Forgetting", ECCV 2016.
"""

from moderation.finetuning.export import export
from moderation.finetuning.learning import fine_tune
from moderation.finetuning.network import base_folder
from moderation.finetuning.routing import learn_router
from moderation.finetuning.samples import Samples

__all__ = ["Samples", "base_folder", "export", "fine_tune", "learn_router"]
