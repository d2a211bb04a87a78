from .page import attach as attach
