"""The layers that can be imported, and the keys of their configuration that reach Keras."""

_CONVOLUTION = "kernel_size strides padding data_format dilation_rate activation use_bias"
_POOLING = "pool_size strides padding data_format"
_EVERY_LAYER = frozenset({"name", "trainable", "dtype"})

LAYERS: dict[str, frozenset[str]] = {
    name: _EVERY_LAYER | frozenset(keys.split())
    for name, keys in {
        "InputLayer": "batch_shape",
        "Dense": "units activation use_bias",
        "Conv2D": f"filters groups {_CONVOLUTION}",
        "DepthwiseConv2D": f"depth_multiplier {_CONVOLUTION}",
        "SeparableConv2D": f"filters depth_multiplier {_CONVOLUTION}",
        "MaxPooling2D": _POOLING,
        "AveragePooling2D": _POOLING,
        "GlobalAveragePooling2D": "data_format keepdims",
        "GlobalMaxPooling2D": "data_format keepdims",
        "Flatten": "data_format",
        "Reshape": "target_shape",
        "Permute": "dims",
        "ZeroPadding2D": "padding data_format",
        "Cropping2D": "cropping data_format",
        "Rescaling": "scale offset",
        "Normalization": "axis mean variance invert",
        "BatchNormalization": "axis momentum epsilon center scale",
        "LayerNormalization": "axis epsilon center scale",
        "GroupNormalization": "groups axis epsilon center scale",
        "Dropout": "rate",
        "SpatialDropout2D": "rate data_format",
        "GaussianDropout": "rate",
        "GaussianNoise": "stddev",
        "AlphaDropout": "rate",
        "Activation": "activation",
        "ReLU": "max_value negative_slope threshold",
        "LeakyReLU": "negative_slope",
        "PReLU": "shared_axes",
        "ELU": "alpha",
        "Softmax": "axis",
        "Add": "",
        "Subtract": "",
        "Multiply": "",
        "Average": "",
        "Maximum": "",
        "Minimum": "",
        "Concatenate": "axis",
        "ActivityRegularization": "l1 l2",
        "Resizing": "height width data_format",  # only to the size that the images have; see `built`
    }.items()
}

IDENTITY = {"scale": 1.0, "offset": 0.0}  # the configuration of a Rescaling that only casts to floats
NOTHING_AT_INFERENCE = (
    frozenset(  # layers that act only in training: each becomes an IDENTITY, its configuration is not read
        {
            *("RandomBrightness", "RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip"),
            *("RandomGaussianBlur", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
            *("RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom"),
            *("RandomHeight", "RandomWidth"),  # of Keras 2
            *("RandomColorDegeneration", "RandomColorJitter", "RandomGrayscale", "RandomHue", "RandomSaturation"),
            *("AugMix", "RandAugment", "Identity", "SpatialDropout1D", "SpatialDropout3D"),
        }
    )
)
CHANGE_IMAGES = frozenset({"AutoContrast", "CenterCrop", "RandomCrop"})  # at inference too: refused by name

WITHOUT_EFFECT = frozenset(  # on the answers of a trained model: dropped without reading
    {"seed", "noise_shape", "fused", "synchronized", "renorm_momentum", "input_dtype", "autocast"}
)
WITHOUT_EFFECT_IN = {  # the same for one layer
    "Resizing": frozenset(
        {"interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode", "fill_value", "antialias"}
    )
}
WITHOUT_EFFECT_SUFFIXES = ("_initializer", "_regularizer", "_constraint")  # the stored weights replace initial ones

OLD_CLASSES = {  # names of Keras 1 and 2, and of TensorFlow 1
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "Convolution2D": "Conv2D",
    "DepthwiseConvolution2D": "DepthwiseConv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "MaxPool2D": "MaxPooling2D",
    "AvgPool2D": "AveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
}
OLD_KEYS = {"LeakyReLU": {"alpha": "negative_slope"}, "InputLayer": {"batch_input_shape": "batch_shape"}}
OLD_DEFAULTS = {"groups": 1}  # keys of old files, with the only value that their layer accepts
OLD_ACTIVATIONS = {"softmax_v2": "softmax", "log_softmax_v2": "log_softmax"}  # TensorFlow's own functions
CHANGED_ACTIVATIONS = frozenset({"hard_sigmoid"})  # Keras 3 uses the same name for another function
