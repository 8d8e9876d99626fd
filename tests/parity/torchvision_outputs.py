"""Writes torchvision_outputs.json: what torchvision's networks compute from weights and an image
that a rule makes. torchvision_parity_test.cc follows the same rule; README.md has the commands.

The rule. Every name (a parameter's in torchvision, an output's) has numbers of its own: 24 bits by
splitmix64 from the FNV-1a hash of the name. A weight is center + radius * s in float64, where s is
such a number scaled to [-1, 1), and then float32. Where the center is not 0, all are sums of few
powers of two: nothing is rounded but the one product or the result, so both sides agree to the last
bit without a file between them.
"""

import collections
import json
import math
import pathlib

import numpy as np
import torch
import torchvision

MASK = 2**64 - 1
CLASSES = 91
POSITIONS = 100  # values of an output that are written
# Detections must not hang on rounding: how far, at least, scores are from one another and from the
# threshold (relative), and IoUs from the threshold of suppression.
MARGIN = 1e-4

# norm_variance: about which a norm's running variances lie. logit_gain: factor of the weights that
# make class logits. background: bias of the background's logits. All are sums of few powers of two,
# and such that activations keep their size from layer to layer and dozens of boxes are found.
Rule = collections.namedtuple("Rule", "seed norm_variance logit_gain background")
RULES = {
    "ssd300_vgg16": Rule(1, 1, 2, 29.5),
    "ssdlite320_mobilenet_v3_large": Rule(1, 1.125, 2, 38),
    "resnet18": Rule(1, 2, 1, 0),
    "resnet50": Rule(1, 2, 1, 0),
    "mobilenet_v2": Rule(1, 1.25, 1, 0),
}


def draw(seed, name, count):
    """The first `count` numbers of a name, 24 bits each."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 & MASK
    z = np.arange(1, count + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(start ^ seed)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.int64)


def weight(rule, name, shape):
    def fill(center, radius):
        signed = (draw(rule.seed, name, math.prod(shape)) - 2**23) / 2**23
        return (center + radius * signed).astype(np.float32).reshape(shape)

    if name.endswith("running_var"):
        return fill(rule.norm_variance, rule.norm_variance / 2)
    if name.endswith("running_mean"):
        return fill(0, 0.25)
    if name == "backbone.scale_weight":
        return fill(48, 12)  # so that conv4_3 has its share of the detections
    logits = name.startswith("head.classification_head.") and shape[0] % CLASSES == 0
    if name.endswith("bias"):
        bias = fill(0, 0.25)
        if logits:
            bias.reshape(-1, CLASSES)[:, 0] = rule.background
        return bias
    if len(shape) == 1:
        return fill(1, 0.25)
    fan_in = math.prod(shape[1:])
    if name == "backbone.features.0.weight":
        fan_in *= 64**2  # VGG's, which is fed pixel values: some 64 times what others are fed
    return fill(0, math.sqrt(6 / fan_in) * (rule.logit_gain if logits else 1))


def load_weights(rule, network):
    state = network.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(weight(rule, name, tuple(tensor.shape))))


def make_image(rule, size):
    """[3, size, size] of 0 to 255: squares of 50, 10 and 2 pixels, the large ones the strongest."""
    channel, y, x = np.indices((3, size, size))
    total = np.zeros((3, size, size), dtype=np.int64)
    for side, strength in ((50, 2), (10, 1), (2, 1)):
        shades = draw(rule.seed, f"image.{side}", 3 * size * size) >> 16
        total += strength * shades[(channel * size + y // side) * size + x // side]
    return torch.from_numpy((total >> 2).astype(np.uint8))


def backbone_input(rule, size):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return ((make_image(rule, size) / 255 - mean) / deviation).unsqueeze(0)


def run_resnet(rule, network, size):
    """C3, C4 and C5."""
    load_weights(rule, network)
    x = backbone_input(rule, size)
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    outputs = {}
    for i, layer in enumerate((network.layer1, network.layer2, network.layer3, network.layer4)):
        x = layer(x)
        if i > 0:
            outputs[f"C{i + 2}"] = x
    return outputs, None


def run_mobilenet_v2(rule, network, size):
    """C4, which is the expansion inside the first block of stride 32, and C5."""
    load_weights(rule, network)
    x = backbone_input(rule, size)
    outputs = {}
    for i, layer in enumerate(network.features):
        if i == 14:
            outputs["C4"] = layer.conv[0](x)
        x = layer(x)
    outputs["C5"] = x
    return outputs, None


def check_margins(network, head, anchors, detections):
    scores = head["cls_logits"][0].softmax(-1)[:, 1:]
    boxes = network.box_coder.decode_single(head["bbox_regression"][0], anchors)
    boxes = torchvision.ops.clip_boxes_to_image(boxes, network.transform.fixed_size)
    threshold = network.score_thresh
    margins = {"threshold": ((scores - threshold).abs() / threshold).min().item()}
    found = detections["scores"]
    margins["order"] = ((found[:-1] - found[1:]) / found[:-1]).min().item()
    margins["iou"] = 1.0
    for label in range(CLASSES - 1):
        candidates = boxes[scores[:, label] > threshold]
        assert len(candidates) < network.topk_candidates
        if len(candidates) > 1:
            ious = torchvision.ops.box_iou(candidates, candidates)
            distance = (ious - network.nms_thresh).abs().min().item()
            margins["iou"] = min(margins["iou"], distance)
    print(f"  {len(found)} of {(scores > threshold).sum()} candidates, labels "
          f"{len(set(detections['labels'].tolist()))}, scores {found.min():.4f} to "
          f"{found.max():.4f}; margins {margins}")
    assert len(found) < network.detections_per_img
    assert min(margins.values()) > MARGIN, "another seed, please"


def run_detector(rule, network, size):
    """Box codes and class logits of every level, and the detections."""
    load_weights(rule, network)
    seen = {}
    network.backbone.register_forward_hook(lambda _, __, maps: seen.update(maps=maps))
    network.head.register_forward_hook(lambda _, __, head: seen.update(head=head))
    network.anchor_generator.register_forward_hook(lambda _, __, boxes: seen.update(boxes=boxes))
    detections = network([make_image(rule, size) / 255])[0]
    outputs = {}
    for name, key in (("box_codes", "bbox_regression"), ("class_logits", "cls_logits")):
        begin = 0
        cells = [level.shape[2] * level.shape[3] for level in seen["maps"].values()]
        anchors = network.anchor_generator.num_anchors_per_location()
        for i, count in enumerate(c * a for c, a in zip(cells, anchors)):
            outputs[f"{name}.{i}"] = seen["head"][key][:, begin:begin + count]
            begin += count
        assert begin == seen["head"][key].shape[1]
    check_margins(network, seen["head"], seen["boxes"][0], detections)
    return outputs, detections


def numbers(tensor):
    """As nested lists, by float32's shortest decimals."""
    if tensor.dim() > 0:
        return [numbers(element) for element in tensor]
    return float(str(np.float32(tensor.item())))


def entry(rule, outputs, detections):
    """The lines of a network."""
    lines = [f'"rule": {json.dumps(rule._asdict())}', '"outputs": [\n' + ",\n".join(
        json.dumps({
            "name": name,
            "shape": list(output.shape),
            "sum": output.double().sum().item(),
            "largest": numbers(output.abs().max()),
            "values": numbers(output.flatten()[
                torch.from_numpy(draw(rule.seed, name, POSITIONS) % output.numel())]),
        }) for name, output in outputs.items()) + "]"]
    if detections is not None:
        lines.append('"detections": ' + json.dumps({
            "scores": numbers(detections["scores"]),
            "labels": detections["labels"].tolist(),
            "boxes": numbers(detections["boxes"]),
        }))
    return "{" + ",\n".join(lines) + "}"


def main():
    torch.set_grad_enabled(False)
    detection = torchvision.models.detection
    networks = {
        "ssd300_vgg16": (run_detector, 300, lambda: detection.ssd300_vgg16(
            weights=None, weights_backbone=None, num_classes=CLASSES)),
        "ssdlite320_mobilenet_v3_large": (
            run_detector, 320, lambda: detection.ssdlite320_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=CLASSES)),
        "resnet18": (run_resnet, 300, torchvision.models.resnet18),
        "resnet50": (run_resnet, 300, torchvision.models.resnet50),
        "mobilenet_v2": (run_mobilenet_v2, 300, torchvision.models.mobilenet_v2),
    }
    lines = [f'"source": "torchvision {torchvision.__version__}, torch {torch.__version__}"']
    for name, (run, size, make) in networks.items():
        print(name)
        outputs, detections = run(RULES[name], make().eval(), size)
        for key, output in outputs.items():
            assert output.isfinite().all()
            print(f"  {key}: largest {output.abs().max():.3g}, deviation {output.std():.3g}")
        lines.append(f'"{name}": ' + entry(RULES[name], outputs, detections))
    text = "{" + ",\n".join(lines) + "}\n"
    json.loads(text)
    pathlib.Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
