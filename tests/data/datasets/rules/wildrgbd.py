from datasets_preprocess.wildrgbd import WildRgbdOptions

OPTIONS = WildRgbdOptions(frames=7)
