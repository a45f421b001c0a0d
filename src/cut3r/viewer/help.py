"""What a page says about itself: what one sees, mouse, keys and units."""

INTRODUCTION = "What a camera saw, as points in space. Distances are in metres."

TEXT = """\
**Mouse** · drag turns · right drag (or Shift) moves · wheel zooms · a click on a camera flies there and shows its frame

**Touch** · one finger turns · two move and zoom · controls are in the sheet below

**Keys** · click into the scene first

| key | |
|---|---|
| `space` | play, pause |
| `N` `B` | next, previous frame |
| `Home` `End` | first, last frame |
| `F` | all of the scene |
| `C` | to the current camera |
| `M` | measure with two clicks |
| `L` | light, dark |
| `H` | this help |
| `W A S D` `Q E` arrows | walk, rise, turn |

**Units** · metres, as the network understood them; confidence begins at 1 and has no end, so points are
chosen by percent · colours of depth and confidence: blue is low, red is high · axes: x red, y green, z blue,
those of the first camera
"""
