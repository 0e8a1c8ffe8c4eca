"""More ways to ask: a picture of one's own, a link, a tag, a vector."""

import base64
import binascii
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import links, thumbnails
from fiftyone_qdrant.matches import parse_vector, tags
from fiftyone_qdrant.search.images import check as check_image

from ..guarded_panel import NothingToSay
from .asked import Asked

_IMAGES = ".png,.jpg,.jpeg,.webp,.bmp,.tif,.tiff"
_MAX_BYTES = 10_000_000
_WAYS = {
    "picture": ("Picture", "image"),
    "link": ("Link", "link"),
    "tag": ("Tag", "sell"),
    "vector": ("Vector", "data_array"),
}


class Ways(Asked):
    """The section."""

    def choose_way(self, ctx: Any) -> None:
        """Opens the field for a picture, a link, a tag or a vector; or closes it."""
        extra, way = self.session(ctx).extra, ctx.params["way"]
        extra["way"] = None if extra.get("way") == way else way

    def upload(self, ctx: Any) -> None:
        """Asks with a picture that was chosen or dropped; it stays on the server."""
        file = ctx.params["value"]
        if not isinstance(file, dict) or not file.get("content"):
            return  # the field was emptied

        ctx.panel.state.set("more.picture", None)  # else it came with each event
        ctx.panel.state.apply("more.picture")
        try:
            content = base64.b64decode(file["content"], validate=True)
        except (binascii.Error, ValueError) as e:
            raise ConfigError("The picture did not arrive whole: try again") from e

        self._ask_picture(ctx, content, str(file.get("name") or "a picture")[:60])

    def follow_link(self, ctx: Any) -> None:
        """Asks with the picture behind a link."""
        url = (ctx.panel.state.get("more.link") or "").strip()
        content = links.fetch(url)
        name = links.without_secrets(url).rpartition("/")[2] or "a link"
        self._empty(ctx, "more.link")
        self._ask_picture(ctx, content, name[:60])

    def ask_tag(self, ctx: Any) -> None:
        """Asks with all that have a tag."""
        tag = ctx.params["value"]
        if tag:
            self._empty(ctx, "more.tag")
            self._ask(ctx, "tag", tag, f"all with tag '{tag}'")

    def ask_vector(self, ctx: Any) -> None:
        """Asks with a vector that was typed or pasted."""
        index = self._index(ctx, self.session(ctx))
        vector = parse_vector(index, ctx.panel.state.get("more.vector") or "")
        self._empty(ctx, "more.vector")
        self._ask(ctx, "vector", vector, f"a vector of {len(vector):,} numbers")

    def _ask_picture(self, ctx: Any, content: bytes, name: str) -> None:
        session = self.session(ctx)
        check_image(content)
        key = session.keep_picture(content)
        if any(p["value"] == key for p in session.parts):
            raise NothingToSay  # FiftyOne may send a file twice

        self._ask(ctx, "picture", key, name, thumb=thumbnails.of_bytes(content))

    def _ask(
        self, ctx: Any, kind: str, value: Any, name: str, thumb: str | None = None
    ) -> None:
        session = self.session(ctx)
        before = session.parts
        self.add(ctx, kind, value, name, thumb=thumb)
        session.extra["way"] = None
        try:
            self.search(ctx)
        except ConfigError:
            session.parts = before  # what cannot be asked is not kept
            raise

    def show_ways(self, panel: Any, ctx: Any) -> None:
        """Adds a button for each way, and the field of the one that is open."""
        session = self.session(ctx)
        about = session.extra["indexes"][session.asked["key"]]
        opened, line = session.extra.get("way"), panel.h_stack("ways", gap=1)
        for way, (label, icon) in _WAYS.items():
            if way in ("picture", "link") and not about["model"]:
                continue

            line.btn(
                way,
                label=label,
                icon=icon,
                variant="contained" if way == opened else "outlined",
                on_click=self.choose_way,
                params={"way": way},
            )

        if opened in _WAYS:
            more = panel.v_stack("more", gap=1, align_x="left")
            getattr(self, f"_show_{opened}")(more, ctx)

    def _show_picture(self, panel: Any, ctx: Any) -> None:
        view = types.FileView(
            types=_IMAGES,
            max_size=_MAX_BYTES,
            max_size_error_message="The file is larger than 10 MB",
        )
        panel.define_property(
            "picture", types.UploadedFile(), view=view, on_change=self.upload
        )

    def _show_link(self, panel: Any, ctx: Any) -> None:
        field = types.TextFieldView(placeholder="https://…")
        panel.str("link", label="Link to a picture", view=field)
        panel.btn(
            "follow",
            label="Search with it",
            variant="contained",
            on_click=self.follow_link,
        )

    def _show_tag(self, panel: Any, ctx: Any) -> None:
        known = tags(self._index(ctx, self.session(ctx)))
        if not known:
            panel.md("Nothing has a tag yet.", name="no_tags")
            return

        view = types.AutocompleteView()
        for tag in known:
            view.add_choice(tag, label=tag)

        panel.enum("tag", known, label="Tag", view=view, on_change=self.ask_tag)

    def _show_vector(self, panel: Any, ctx: Any) -> None:
        field = types.TextFieldView(placeholder="0.12, -0.4, …")
        panel.str("vector", label="Numbers of the vector", view=field)
        panel.btn(
            "use",
            label="Search with it",
            variant="contained",
            on_click=self.ask_vector,
        )
