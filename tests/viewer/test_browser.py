"""The page in a real browser: it loads, points arrive, controls and queries change the picture.

Screenshots go to the test's temporary folder and, where CUT3R_SCREENSHOTS names a folder, there too.
"""

import io
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.registration import Similarity
from cut3r.inference.reconstruction import Reconstruction
from cut3r.viewer.app import Viewer
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.page_file import write_page

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None,
        reason="SKIPPED LOUDLY: no chromium and chromedriver, the page is not verified by this run; "
        "apt-get install chromium chromium-driver",
    ),
]

FLAGS = (
    "--headless=new --no-sandbox --disable-dev-shm-usage --window-size=1100,760 --hide-scrollbars "
    "--use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist "  # WebGL without a GPU
    "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
)
PANEL_WIDTH = 345  # pixels at the right that show controls, not the scene
BAR_HEIGHT = 130  # and at the lower edge
BIG_POINTS = ViewerConfig(point_size=0.02)  # the room has few


def only_page(viewer: Viewer):
    """The page of the one visitor."""
    (page,) = list(viewer._pages.values())
    return page


class Page:
    """A browser at the viewer's page."""

    def __init__(self, driver: webdriver.Chrome, folder: Path, wait_until: Callable[..., None]) -> None:
        self.driver, self.folder, self.wait_until = driver, folder, wait_until

    def control(self, label: str, kind: str = "input[@type='text']"):
        """The input beside a label."""
        return self.driver.find_element(By.XPATH, f"//label[text()='{label}']/ancestor::div[2]//{kind}")

    def set_number(self, label: str, value: float) -> None:
        field = self.control(label)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(f"{value}", Keys.ENTER)

    def choose(self, label: str, option: str) -> None:
        self.control(label, "input").click()
        self.wait_until(lambda: bool(self._options(option)))
        self._options(option)[0].click()

    def _options(self, text: str) -> list:
        return self.driver.find_elements(By.XPATH, f"//*[@role='option'][.='{text}']")

    def press(self, text: str) -> None:
        button = self.driver.find_element(By.XPATH, f"//button[contains(., '{text}')]")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()

    def shows(self, text: str) -> bool:
        return text in self.driver.find_element(By.TAG_NAME, "body").text

    def scene(self, name: str | None = None) -> np.ndarray:
        """The picture left of the controls and above the timeline; with a name, the whole page is kept as a file."""
        png = self.driver.get_screenshot_as_png()
        if name is not None:
            for folder in filter(None, (self.folder, os.environ.get("CUT3R_SCREENSHOTS"))):
                Path(folder).mkdir(parents=True, exist_ok=True)
                (Path(folder) / f"{name}.png").write_bytes(png)
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[:-BAR_HEIGHT, :-PANEL_WIDTH].astype(int)

    def colored_pixels(self) -> int:
        """Pixels of the walls: neither white nor grey."""
        return int((np.ptp(self.scene(), axis=-1) > 40).sum())

    def settled_pixels(self) -> int:
        """The same once two looks agree: pages draw later than servers send."""
        before, now = -1, self.colored_pixels()
        end = time.monotonic() + 10
        while before != now and time.monotonic() < end:
            time.sleep(0.3)
            before, now = now, self.colored_pixels()
        return now


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def open_viewer():
    viewers = []

    def open_viewer(**options) -> Viewer:
        viewers.append(Viewer(port=0, host="127.0.0.1", options=BIG_POINTS, **options))
        return viewers[-1]

    yield open_viewer
    for viewer in viewers:
        viewer.close()


@pytest.fixture
def open_page(driver, tmp_path, wait_until):
    def open_page(viewer: Viewer) -> Page:
        driver.get(viewer.url)
        page = Page(driver, tmp_path, wait_until)
        wait_until(lambda: page.shows("Timeline") and page.shows("Software WebGL"), seconds=90)
        driver.find_element(By.CSS_SELECTOR, ".mantine-Notification-closeButton").click()
        return page

    return open_page


def test_the_page_follows_the_stream_and_answers_controls_and_queries(open_viewer, open_page, room, wait_until):
    viewer = open_viewer(query=room.query)
    page = open_page(viewer)
    assert page.shows("Waiting for the first frame")
    assert page.colored_pixels() < 3000  # the page has blue controls, but no points

    viewer.add(room.result(0))
    wait_until(lambda: page.shows("1 frame"))
    wait_until(lambda: page.colored_pixels() > 30_000)
    for number in range(1, 8):
        viewer.add(room.result(number))
    viewer.finish()
    wait_until(lambda: page.shows("Finished · 8 frames"))
    all_frames = page.settled_pixels()
    page.scene("1_all_frames")

    page.choose("Show", "one frame")
    page.set_number("Frame", 0)
    wait_until(lambda: viewer.status.points == 96 * 128)
    one_frame = page.settled_pixels()
    page.scene("2_one_frame")
    assert one_frame < 0.9 * all_frames

    page.set_number("Confidence", 9.5)
    wait_until(lambda: viewer.status.points == 0)
    no_points = page.settled_pixels()
    assert no_points < 0.2 * one_frame
    page.set_number("Confidence", 1.5)
    wait_until(lambda: viewer.status.points == 96 * 128)
    assert page.settled_pixels() > 5 * no_points

    page.choose("Colour by", "depth")
    wait_until(lambda: only_page(viewer).look().color_by.value == "depth")
    page.settled_pixels()
    page.scene("3_depth")
    page.choose("Colour by", "rgb")

    page.press("To the current camera")
    wait_until(lambda: only_page(viewer).navigator.is_touched)
    time.sleep(1.5)
    page.press("Query from here")
    wait_until(lambda: viewer.status.queries == 1)
    wait_until(lambda: page.shows("pose error 0.0°"))
    with_query = page.settled_pixels()
    page.scene("4_query")
    page.press("Delete all queries")
    wait_until(lambda: viewer.status.queries == 0)
    assert page.settled_pixels() < 0.8 * with_query


def test_a_page_opened_late_sees_the_scene_and_can_follow_the_camera(open_viewer, open_page, room, wait_until):
    viewer = open_viewer()
    for number in range(4):
        viewer.add(room.result(number))
    wait_until(lambda: viewer.status.frames == 4)
    page = open_page(viewer)
    wait_until(lambda: page.colored_pixels() > 30_000)
    before = page.scene()
    page.driver.find_element(By.XPATH, "//label[text()='Follow camera']/ancestor::div[2]//input").click()
    wait_until(lambda: only_page(viewer).timeline.follow.value)
    viewer.add(room.result(9))  # looks left, where nobody looked before
    wait_until(lambda: viewer.status.frames == 5)
    wait_until(lambda: (np.abs(page.scene() - before).max(axis=-1) > 40).mean() > 0.1)
    page.settled_pixels()
    page.scene("5_following")


def test_keys_play_and_clicks_measure(open_viewer, open_page, room, wait_until):
    viewer = open_viewer()
    for number in range(6):
        viewer.add(room.result(number))
    viewer.finish()
    page = open_page(viewer)
    mine = only_page(viewer)
    wait_until(lambda: viewer.status.points == 6 * 96 * 128)
    before = page.settled_pixels()
    canvas = page.driver.find_element(By.TAG_NAME, "canvas")
    bar = page.driver.find_element(By.XPATH, "//label[text()='Frame']/ancestor::div[2]").size["width"]
    assert bar > 0.85 * canvas.size["width"]  # the timeline is as wide as the scene

    press = ActionChains(page.driver).move_to_element_with_offset(canvas, 0, -canvas.size["height"] // 2 + 20)
    press.click().send_keys(Keys.SPACE).perform()
    wait_until(lambda: mine.timeline.playing and viewer.status.points < 6 * 96 * 128)
    ActionChains(page.driver).send_keys(Keys.SPACE).perform()
    wait_until(lambda: not mine.timeline.playing)
    ActionChains(page.driver).send_keys(Keys.HOME).perform()
    wait_until(lambda: viewer.status.points == 96 * 128)
    assert page.settled_pixels() < 0.9 * before  # playing has moved the scene
    ActionChains(page.driver).send_keys(Keys.END).send_keys("m").perform()
    wait_until(lambda: mine.tape.on.value and viewer.status.points == 6 * 96 * 128)
    page.settled_pixels()
    for aside in (-60, 60):
        ActionChains(page.driver).move_to_element_with_offset(canvas, aside, -90).click().perform()
        wait_until(lambda: "second point" in mine.tape._said.content or bool(mine.tape.lengths))
        time.sleep(1)
    wait_until(lambda: len(mine.tape.lengths) == 1)
    assert 0.3 < mine.tape.lengths[0] < 4  # the wall is 4 m wide
    page.scene("10_measured")


def turned(degrees: float, shift: tuple[float, float, float], scale: float) -> Similarity:
    vector = torch.tensor([0.0, math.radians(degrees), 0.0], dtype=torch.float64)
    return Similarity(rotation_from_vector(vector), torch.tensor(shift).double(), torch.tensor(scale).double())


def test_chunks_move_and_a_switch_shows_before_and_after(open_viewer, open_page, room, wait_until):
    """Two halves of a walk, the second one drifted away; then both are one room again."""
    viewer = open_viewer()
    drift = turned(25.0, (-1.2, 0.3, 0.5), 0.6)
    for number in range(8):
        viewer.add(replace(room.result(number), chunk=number // 4, world_from_chunk=drift if number > 3 else None))
    viewer.finish()
    page = open_page(viewer)
    wait_until(lambda: viewer.status.points == 8 * 96 * 128)
    page.settled_pixels()
    drifted = page.scene("6_before_the_move")
    viewer.move(1, Similarity.identity())
    wait_until(lambda: (np.abs(page.scene() - drifted).max(axis=-1) > 40).mean() > 0.05)
    page.settled_pixels()
    one_room = page.scene("7_after_the_move")

    inside = Similarity.from_matrix(torch.stack([room.pose(number).double() for number in range(8)]))
    apart = torch.arange(8).double() * 0.15
    before = replace(inside, translation=inside.translation + torch.stack((apart, 0 * apart, 0 * apart), dim=1))
    viewer.offer({"after": None, "before": before})
    wait_until(lambda: bool(page.driver.find_elements(By.XPATH, "//label[text()='Poses']")))
    page.choose("Poses", "before")
    wait_until(lambda: only_page(viewer).look().poses == "before")
    page.settled_pixels()
    spread = page.scene("8_switch_before")
    assert (np.abs(spread - one_room).max(axis=-1) > 40).mean() > 0.02
    page.choose("Poses", "after")
    wait_until(lambda: only_page(viewer).look().poses == "after")
    wait_until(lambda: (np.abs(page.scene() - one_room).max(axis=-1) > 40).mean() < 0.01)
    page.scene("9_switch_after")


def test_a_saved_page_opens_from_the_disk_and_plays(driver, room, tmp_path, wait_until):
    scene = Reconstruction(voxel_size=None, max_points=30_000)
    for number in range(6):
        scene.add(room.result(number, of=6))
    write_page(tmp_path / "scene.html", scene.cloud(), scene.cameras)
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*", "ws://*"]})
    try:
        driver.get((tmp_path / "scene.html").as_uri())

        def colourful() -> float:
            picture = np.asarray(Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")).astype(int)
            return float((np.ptp(picture[150:560], axis=-1) > 40).mean())

        wait_until(lambda: colourful() > 0.03, seconds=60)
    finally:
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
