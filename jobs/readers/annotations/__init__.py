"""Public annotations as manifests: COCO, Pascal VOC, ImageNet-S, VQA v2, Flickr30k, and folders of masks."""
