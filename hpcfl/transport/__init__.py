"""How ranks exchange tensors: six verbs over torch.distributed, or over nothing at all."""
